/** Images as QEMU makes them, read through a real storage daemon. A few seconds; needs QEMU and its tools. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { execa } from 'execa';
import { CodedError } from '../../foundation/coded-error.ts';
import { findQemu } from '../../qemu/find-qemu.ts';
import { qemuTools, type QemuTools } from '../cli/testing/qemu-tools.ts';
import { startNbdServer } from '../cli/testing/nbd-server.ts';
import { openDiskImage } from './disk-image.ts';
import { allocateAligned } from './file-storage.ts';
import { openSource } from './storage-place.ts';
import type { StorageReader } from './storage-reader.ts';

const MiB = 1024 * 1024;
const diskBytes = 8 * MiB;
const installation = findQemu()?.installation;
const serially = installation === undefined ? test.serial.skip : test.serial;
const { exitCode: loopDevices } = await execa('losetup', ['--find'], { reject: false });
const ownPath = process.env['PATH'];

interface Workshop extends QemuTools {
  /** A path in a folder of this test's own. */
  readonly at: (name: string) => string;
  /** A raw disk of random content. */
  readonly disk: Buffer;
}

function workshop(t: ExecutionContext): Workshop {
  if (installation === undefined) throw new Error('no QEMU');
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-images-'));
  const tools = qemuTools(installation, folder);
  process.env['PATH'] = tools.path;
  t.teardown(() => {
    process.env['PATH'] = ownPath;
    rmSync(folder, { recursive: true });
  });
  const disk = randomBytes(diskBytes);
  writeFileSync(path.join(folder, 'raw'), disk);
  return { ...tools, disk, at: (name) => path.join(folder, name) };
}

async function contentOf(reader: StorageReader): Promise<string> {
  const into = allocateAligned(reader.sizeBytes);
  for (let at = 0; at < into.length; at += MiB) await reader.read(into.subarray(at, at + MiB), at);
  return createHash('sha256').update(into).digest('hex');
}

async function readAll(place: string): Promise<string> {
  const reader = await openDiskImage(place);
  try {
    return await contentOf(reader);
  } finally {
    await reader.close();
  }
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** A change is looked for now and then: at once would cost too much. */
async function untilRead(reader: StorageReader, disk: Buffer): Promise<void> {
  while ((await contentOf(reader)) !== sha256(disk)) await sleep(50);
}

serially('raw and qcow2 images give the guest’s disk, whatever they are called', async (t) => {
  const { img, at, disk } = workshop(t);
  img('convert', '-O', 'qcow2', at('raw'), at('v3.img'));
  img('convert', '-O', 'qcow2', '-o', 'compat=0.10', at('raw'), at('v2.raw'));
  img('convert', '-c', '-O', 'qcow2', at('raw'), at('compressed'));
  img('convert', '-O', 'qcow2', '-o', 'cluster_size=2M,extended_l2=on', at('raw'), at('large-clusters'));
  img('snapshot', '-c', 'before', at('v3.img'));
  for (const name of ['raw', 'v3.img', 'v2.raw', 'compressed', 'large-clusters'])
    t.is(await readAll(at(name)), sha256(disk), name);
});

serially('a backing chain is read to its end, in folders of its own', async (t) => {
  const { img, at, disk } = workshop(t);
  mkdirSync(at('base'));
  img('convert', '-O', 'qcow2', '-o', 'compat=0.10', at('raw'), at('base/v2'));
  img('create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', 'base/v2', at('middle'));
  img('create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', at('middle'), at('top'));
  img('create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', 'raw', at('on-raw'));
  for (const name of ['top', 'on-raw']) t.is(await readAll(at(name)), sha256(disk), name);
});

serially('an image of which not all can be read says so in one line', async (t) => {
  const { img, at } = workshop(t);
  img('create', '-q', '-f', 'qcow2', '-o', `data_file=${at('data')}`, at('external'), '1M');
  const secret = 'secret,id=s,data=x';
  const luks = 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10';
  img('create', '-q', '--object', secret, '-f', 'qcow2', '-o', luks, at('luks'), '1M');
  img('create', '-q', '-f', 'vmdk', at('vmdk'), '1M');
  img('create', '-q', '-f', 'qcow2', '-u', '-F', 'raw', '-b', 'nbd://127.0.0.1:1/x', at('network'), '1M');
  img('create', '-q', '-f', 'qcow2', '-u', '-F', 'qcow2', '-b', 'raw', at('no-qcow2'), '1M');
  img('create', '-q', '-f', 'qcow2', '-u', '-F', 'vmdk', '-b', 'vmdk', at('on-vmdk'), '1M');
  img('create', '-q', '-f', 'qcow2', '-u', '-F', 'raw', '-b', 'gone', at('on-nothing'), '1M');
  img('create', '-q', '-f', 'qcow2', '-u', '-F', 'qcow2', '-b', 'itself', at('itself'), '1M');
  const cases: readonly (readonly [name: string, reason: RegExp])[] = [
    ['external', /external is a qcow2 image with an external data file/],
    ['luks', /luks is an encrypted qcow2 image/],
    ['vmdk', /vmdk is a VMDK image/],
    [
      'network',
      /backing file "nbd:\/\/127\.0\.0\.1:1\/x", which is not a file beside it: export the disk by NBD/,
    ],
    ['no-qcow2', /raw is said to be a qcow2 image, and is none/],
    ['on-vmdk', /vmdk is said to be of the format "vmdk"/],
    ['on-nothing', /cannot open .*gone/],
    ['itself', /itself is behind 64 other images/],
  ];
  for (const [name, reason] of cases) {
    const error = await t.throwsAsync(openDiskImage(at(name)), { instanceOf: CodedError }, name);
    t.regex(error.message, reason);
    t.notRegex(error.message, /\n/);
  }
});

serially('an NBD server that exports an image file in place of what it holds is told of', async (t) => {
  const { img, at } = workshop(t);
  if (installation === undefined) throw new Error('no QEMU');
  img('convert', '-O', 'qcow2', at('raw'), at('image'));
  const server = await startNbdServer(installation, at('image'), at('nbd'));
  t.teardown(() => server.stop());
  const open = openSource({ kind: 'disk', disk: 'vda' }, [{ name: undefined, location: server.location }]);
  await t.throwsAsync(open, { message: /is a qcow2 image: export what it holds/ });
});

serially('clusters that are allocated after the image was opened are read', async (t) => {
  const { img, at, disk } = workshop(t);
  img('create', '-q', '-f', 'qcow2', at('growing'), String(diskBytes));
  const reader = await openDiskImage(at('growing'));
  t.teardown(() => reader.close());
  t.not(await contentOf(reader), sha256(disk));
  img('convert', '-n', '-O', 'qcow2', at('raw'), at('growing'));
  await untilRead(reader, disk);
  t.pass();
});

(loopDevices === 0 ? serially : test.serial.skip)(
  'so are those of an image on a block device, as oVirt has them',
  async (t) => {
    const { img, at, disk } = workshop(t);
    writeFileSync(at('raw-volume'), Buffer.alloc(2 * diskBytes));
    const { stdout: device } = await execa('losetup', ['--find', '--show', at('raw-volume')]);
    t.teardown(() => execa('losetup', ['--detach', device]));
    img('create', '-q', '-f', 'qcow2', device, String(diskBytes));
    const reader = await openDiskImage(device);
    t.teardown(() => reader.close());
    t.not(await contentOf(reader), sha256(disk));
    img('convert', '-n', '-O', 'qcow2', at('raw'), device);
    await untilRead(reader, disk);
    t.pass();
  },
);

serially('without qemu-storage-daemon its package is named', async (t) => {
  const { img, at } = workshop(t);
  img('convert', '-O', 'qcow2', at('raw'), at('image'));
  process.env['PATH'] = at('nowhere');
  await t.throwsAsync(openDiskImage(at('image')), {
    message: /^qemu-storage-daemon .*not installed.*qemu-utils/,
  });
});

serially('a daemon and its folder end with the reader', async (t) => {
  const { img, at } = workshop(t);
  img('convert', '-O', 'qcow2', at('raw'), at('image'));
  const folders = (): string[] =>
    readdirSync(tmpdir()).filter((name) => name.startsWith(`poolshift-storage-${process.pid}-`));
  const reader = await openDiskImage(at('image'));
  t.is(folders().length, 1);
  await reader.close();
  t.deepEqual(folders(), []);
});
