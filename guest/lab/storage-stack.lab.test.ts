/**
 * Files on file systems and volumes as people have them, in a guest whose kernel has these: the agent's places against the bytes of
 * the disks, and the reasons of what it leaves out. About two minutes; the first time two more, for the guest's disk.
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
  packages: [...kernelPackages.packages, 'dmsetup', 'e2fsprogs', 'xfsprogs', 'btrfs-progs', 'nodejs'],
};
const here = (name: string): string => path.join(import.meta.dirname, name);

/** A file system with the kernel's modules, dmsetup, filefrag, Node, and what makes file systems. */
async function prepareDisk(log: Log): Promise<string> {
  const entry = await prepare({
    name: 'guest-storage-stack',
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

/** As locate-files.ts says it; `leftOut` alone where the file has no place. */
interface Located {
  readonly path: string;
  readonly blocks?: Readonly<Record<string, number>>;
}

/** A disk with partitions in the table of a PC. @param firstSectors where they begin; each ends where the next one begins */
function writePartitionedDisk(file: string, bytes: number, firstSectors: readonly number[]): void {
  const sector = Buffer.alloc(512);
  for (const [index, first] of firstSectors.entries()) {
    const entry = 446 + 16 * index;
    sector.writeUInt8(0x83, entry + 4);
    sector.writeUInt32LE(first, entry + 8);
    sector.writeUInt32LE((firstSectors[index + 1] ?? bytes / 512) - first, entry + 12);
  }
  sector.writeUInt16LE(0xaa55, 510);
  writeFileSync(file, sector);
  truncateSync(file, bytes);
}

function writeEmptyDisk(file: string, bytes: number): void {
  writeFileSync(file, '');
  truncateSync(file, bytes);
}

test('files lie where the agent says, whatever is between them and the disk; others are left out, with the reason', async (t) => {
  t.timeout(1_800_000);
  const log = (line: string): void => {
    t.log(line);
  };
  await ensurePackages(machinePackages.guestImage, log);
  const { kernelPath, initrdPath } = await prepareKernel(log);
  const root = await prepareDisk(log);
  const folder = mkdtempSync('/var/tmp/poolshift-stack-');
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
  const script = readFileSync(here('storage-stack-init.sh'));
  const bundle = readFileSync(inFolder('locate.js'));
  appendFileSync(
    inFolder('initrd'),
    cpioArchive([
      { kind: 'file', path: 'poolshift/init', mode: 0o755, content: script },
      { kind: 'file', path: 'poolshift/locate.js', content: bundle },
      { kind: 'file', path: 'poolshift/package.json', content: Buffer.from('{"type":"module"}') },
    ]),
  );
  writePartitionedDisk(inFolder('first'), 64 * mebibyte, [2048]);
  writeEmptyDisk(inFolder('second'), 64 * mebibyte);
  writeEmptyDisk(inFolder('volumes'), 256 * mebibyte);
  writePartitionedDisk(inFolder('odd'), 64 * mebibyte, [63, 65_536]);
  writeEmptyDisk(inFolder('xfs'), 512 * mebibyte);
  writeEmptyDisk(inFolder('btrfs'), 256 * mebibyte);
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
      ...['first', 'second', 'volumes', 'odd', 'xfs', 'btrfs'].flatMap((id) => disk(id, inFolder(id))),
      ...['-serial', `file:${inFolder('console')}`],
    ],
    { env: { ...process.env, ...environment } },
  );
  const console = readFileSync(inFolder('console'), 'utf8');
  const lines = [...console.matchAll(/^LOCATED (\{.*\})\r?$/gm)].map(
    ([, json = '']) => JSON.parse(json) as Located,
  );
  t.log(JSON.stringify(lines));
  const isComplete = console.includes('LOCATED-ALL');
  if (!isComplete) t.log(console.split('\n').slice(-30).join('\n'));
  t.true(isComplete);
  const blocks = (6 * mebibyte) / 4096;
  const half = blocks / 2;
  const placed = (path: string, count: number, leftOut = {}): unknown => ({
    ...{ path, blocks: count, differing: 0, leftOut },
  });
  t.deepEqual(
    lines.map((line) => ({ ...line, ...(line.blocks === undefined ? {} : { blocks: sumOf(line.blocks) }) })),
    [
      placed('/run/linear/file', blocks),
      placed('/run/striped/file', blocks),
      { path: '/run/crypt/file', leftOut: 'encrypted-disk' },
      placed('/run/merged/file', blocks / 3),
      { path: '/run/merged/image', leftOut: 'no-block-device' },
      placed('/run/origin/file', blocks),
      { path: '/run/snapshot/file', leftOut: 'lvm' },
      { path: '/run/thin/file', leftOut: 'lvm' },
      { path: '/run/raid1/file', leftOut: 'raid' },
      { path: '/run/raid5/file', leftOut: 'raid' },
      { path: '/run/sector-63/file', leftOut: 'unaligned' },
      placed('/run/small-blocks/file', 0, { unaligned: blocks }),
      { path: '/run/loop/file', leftOut: 'loop-device' },
      placed('/run/xfs/file', blocks),
      placed('/run/xfs/shared', blocks),
      placed('/run/xfs/changed', blocks),
      { path: '/run/btrfs/file', leftOut: 'no-block-device' },
    ],
  );
  const striped = lines.find(({ path }) => path === '/run/striped/file');
  t.deepEqual(striped?.blocks, { first: half, second: half });
});

const sumOf = (blocks: Readonly<Record<string, number>>): number =>
  Object.values(blocks).reduce((sum, count) => sum + count, 0);
