/**
 * Files on volumes as LVM makes them, and in an overlay as a container has, in a guest whose kernel has the device mapper: the agent's places against the bytes of the
 * disks. About a minute; the first time two more, for the guest's disk.
 */
import { execFile } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { build } from 'esbuild';
import { findQemu } from '../../qemu/find-qemu.ts';
import { type Log, prepare } from '../../scripts/cache.ts';
import { kernelPackages, machinePackages } from '../../scripts/debian-packages.ts';
import { ensurePackages } from '../../scripts/packages.ts';
import { confined } from '../image/confined.ts';
import { cpioArchive, padding } from '../image/cpio.ts';
import { prepareKernel } from '../image/kernel.ts';
import { bootstrap } from '../image/packages.ts';

const mebibyte = 1024 * 1024;
const packages = {
  ...kernelPackages,
  packages: [...kernelPackages.packages, 'dmsetup', 'e2fsprogs', 'nodejs'],
};
const here = (name: string): string => path.join(import.meta.dirname, name);

/** A file system with the kernel's modules, dmsetup, filefrag and Node. */
async function prepareDisk(log: Log): Promise<string> {
  const entry = await prepare({
    name: 'guest-device-mapper',
    keyParts: [JSON.stringify(packages)],
    log,
    build: async (dir) => {
      const tree = path.join(dir, 'tree');
      const disk = path.join(dir, 'disk.img');
      await bootstrap(tree, packages, { variant: 'extract', log });
      for (const folder of ['dev', 'proc', 'sys', 'run', 'tmp'])
        await mkdir(path.join(tree, folder), { recursive: true });
      const run = confined({ log });
      await run`sh -c ${'depmod --basedir "$0" "$(ls "$0/lib/modules")"'} ${tree}`;
      writeFileSync(disk, '');
      truncateSync(disk, 1024 * mebibyte);
      await run`mkfs.ext4 -q -d ${tree} ${disk}`;
      rmSync(tree, { recursive: true });
    },
  });
  return path.join(entry, 'disk.img');
}

/** A disk with one partition that begins at 1 MiB, in the table of a PC. */
function writePartitionedDisk(file: string, bytes: number): void {
  const sector = Buffer.alloc(512);
  sector.writeUInt8(0x83, 446 + 4);
  sector.writeUInt32LE(2048, 446 + 8);
  sector.writeUInt32LE(bytes / 512 - 2048, 446 + 12);
  sector.writeUInt16LE(0xaa55, 510);
  writeFileSync(file, sector);
  truncateSync(file, bytes);
}

test('files on linear and striped volumes and in overlays lie where the agent says; encrypted ones are left out', async (t) => {
  t.timeout(1_800_000);
  const log = (line: string): void => {
    t.log(line);
  };
  await ensurePackages(machinePackages.guestImage, log);
  const { kernelPath, initrdPath } = await prepareKernel(log);
  const root = await prepareDisk(log);
  const folder = mkdtempSync('/var/tmp/poolshift-mapper-');
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const inFolder = (name: string): string => path.join(folder, name);
  await build({
    ...{
      entryPoints: [here('locate-files.ts')],
      outfile: inFolder('locate.js'),
      bundle: true,
      platform: 'node',
    },
    ...{ target: 'node18', format: 'esm', logLevel: 'silent' },
  });
  const initrd = readFileSync(initrdPath);
  writeFileSync(inFolder('initrd'), Buffer.concat([initrd, padding(initrd.length)]));
  const script = readFileSync(here('device-mapper-init.sh'));
  const bundle = readFileSync(inFolder('locate.js'));
  appendFileSync(
    inFolder('initrd'),
    cpioArchive([
      { kind: 'file', path: 'poolshift/init', mode: 0o755, content: script },
      { kind: 'file', path: 'poolshift/locate.js', content: bundle },
      { kind: 'file', path: 'poolshift/package.json', content: Buffer.from('{"type":"module"}') },
    ]),
  );
  writePartitionedDisk(inFolder('one'), 64 * mebibyte);
  writeFileSync(inFolder('two'), '');
  truncateSync(inFolder('two'), 64 * mebibyte);
  const found = findQemu();
  if (found === undefined) throw new Error('QEMU 9 or newer is needed; `npm run lab -- prepare` brings one');
  const { command, leadingArguments, environment } = found.installation;
  const disk = (id: string, file: string, options = ''): string[] => [
    ...['-drive', `if=none,id=${id},format=raw,file=${file}${options}`],
    ...['-device', `virtio-blk-pci,drive=${id},serial=${id}`],
  ];
  await promisify(execFile)(
    'setpriv',
    [
      ...[
        '--pdeathsig',
        'KILL',
        command,
        ...leadingArguments,
        '-nodefaults',
        '-display',
        'none',
        '-no-reboot',
      ],
      ...['-machine', 'q35,usb=off', '-accel', 'tcg', '-cpu', 'Nehalem', '-smp', '1', '-m', '512M'],
      ...['-kernel', kernelPath, '-initrd', inFolder('initrd')],
      ...['-append', 'console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable no_timer_check'],
      ...disk('root', root, ',snapshot=on'),
      ...disk('first', inFolder('one')),
      ...disk('second', inFolder('two')),
      ...['-serial', `file:${inFolder('console')}`],
    ],
    { env: { ...process.env, ...environment } },
  );
  const console = readFileSync(inFolder('console'), 'utf8');
  const lines = [...console.matchAll(/^LOCATED (\{.*\})\r?$/gm)].map(
    ([, json = '']) => JSON.parse(json) as unknown,
  );
  if (lines.length !== 5) t.log(console.split('\n').slice(-30).join('\n'));
  const [linear, striped, crypt, written, image] = lines;
  t.log(JSON.stringify(lines));
  const blocks = (6 * mebibyte) / 4096;
  t.like(linear, { path: '/run/linear/file', differing: 0 });
  t.is(blocksOf(linear), blocks);
  t.like(striped, {
    path: '/run/striped/file',
    differing: 0,
    blocks: { first: blocks / 2, second: blocks / 2 },
  });
  t.deepEqual(crypt, { path: '/run/crypt/file', leftOut: 'encrypted-disk' });
  t.like(written, { path: '/run/merged/file', differing: 0 });
  t.is(blocksOf(written), (2 * mebibyte) / 4096);
  t.deepEqual(image, { path: '/run/merged/image', leftOut: 'no-block-device' });
});

function blocksOf(located: unknown): number {
  const { blocks = {} } = located as { readonly blocks?: Readonly<Record<string, number>> };
  return Object.values(blocks).reduce((sum, count) => sum + count, 0);
}
