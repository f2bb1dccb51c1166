/**
 * Records the fixtures of the stream's tests: real migrations between two QEMUs of the same version, of Debian's
 * releases. Run as root: `node scripts/start.mjs qemu/capture/main.ts [work folder]`; needs mmdebstrap and Debian's archive.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, connect, type Server, type Socket } from 'node:net';
import path from 'node:path';
import { constants, zstdCompressSync } from 'node:zlib';
import { $ } from 'zx';
import type { MigrationCapability, MigrationParameters } from '../qmp/messages.ts';
import { Qemu } from '../qemu-process.ts';
import { qemuInTree, type QemuInstallation } from '../installation.ts';
import { writeBootDisk } from './boot-disk.ts';

const fixtures = path.join(import.meta.dirname, '../../engine/stream/fixtures');

/** Debian suites, oldest first, each with the QEMU that is to be expected in it. */
const releases = [
  { qemu: '7.2', suite: 'bookworm', backports: false },
  { qemu: '10.0', suite: 'trixie', backports: false },
  { qemu: '11', suite: 'trixie', backports: true },
] as const;

interface Variant {
  readonly name: string;
  readonly versions: readonly string[];
  readonly capabilities?: readonly MigrationCapability[];
  readonly machineArguments: (disk: string) => readonly string[];
  readonly parameters?: MigrationParameters;
  /** Let this many passes go by before the switchover. Default: as many as come by themselves. */
  readonly minPasses?: number;
  /** Become post-copy then, and let the target ask for pages. */
  readonly startsPostcopy?: boolean;
}

const all = releases.map(({ qemu }) => qemu);
const q35 = ['-machine', 'q35,graphics=off', '-accel', 'tcg', '-cpu', 'qemu64', '-vga', 'none'];
const ideDisk = (disk: string): readonly string[] => [
  '-drive',
  `file=${disk},format=raw,if=ide,file.locking=off`,
];
const small = (disk: string): readonly string[] => [...q35, '-m', '16M', ...ideDisk(disk)];

const variants: readonly Variant[] = [
  { name: 'plain', versions: all, machineArguments: small, minPasses: 3 },
  {
    name: 'switchover-ack',
    versions: ['10.0', '11'],
    capabilities: ['return-path', 'switchover-ack'],
    machineArguments: small,
    minPasses: 3,
  },
  {
    // QEMU 11.1 asks for an acknowledgement only if a device wants one, unless told to do as before.
    name: 'switchover-ack-legacy',
    versions: ['11'],
    capabilities: ['return-path', 'switchover-ack'],
    machineArguments: (disk) => [...small(disk), '-global', 'migration.switchover-ack-legacy=on'],
  },
  {
    // The lab's kind of VM: memory in a file, virtio devices; and a second block of memory.
    name: 'virtio-two-blocks',
    versions: all,
    capabilities: ['return-path'],
    machineArguments: (disk) => [
      ...q35,
      ...['-smp', '2', '-m', '24M'],
      ...['-object', 'memory-backend-memfd,id=ram0,size=16M,share=on', '-numa', 'node,memdev=ram0,cpus=0'],
      ...['-object', 'memory-backend-ram,id=ram1,size=8M', '-numa', 'node,memdev=ram1,cpus=1'],
      ...['-blockdev', `raw,node-name=d0,file.driver=file,file.filename=${disk},file.locking=off`],
      ...['-device', 'virtio-blk-pci,drive=d0,bootindex=0', '-netdev', 'user,id=n0,restrict=on'],
      ...['-device', 'virtio-net-pci,netdev=n0,romfile=', '-device', 'virtio-serial-pci'],
      ...['-chardev', 'null,id=c0', '-device', 'virtserialport,chardev=c0,name=agent'],
    ],
    minPasses: 3,
  },
  {
    name: 'microvm',
    versions: ['10.0'],
    machineArguments: () => ['-machine', 'microvm', '-accel', 'tcg', '-m', '8M'],
  },
  // What cannot be filtered.
  { name: 'xbzrle', versions: ['10.0'], capabilities: ['xbzrle'], machineArguments: small, minPasses: 4 },
  { name: 'compress', versions: ['7.2'], capabilities: ['compress'], machineArguments: small },
  { name: 'multifd', versions: all, capabilities: ['multifd'], machineArguments: small },
  {
    name: 'moved',
    versions: ['10.0', '11'],
    capabilities: ['postcopy-ram'],
    machineArguments: small,
    minPasses: 2,
    startsPostcopy: true,
    // QEMU 10.0 completes as pre-copy if what is left fits into the downtime.
    parameters: { 'avail-switchover-bandwidth': 4_096_000 },
  },
  { name: 'postcopy', versions: ['10.0'], capabilities: ['postcopy-ram'], machineArguments: small },
  {
    name: 'ignore-shared',
    versions: ['10.0'],
    capabilities: ['x-ignore-shared'],
    machineArguments: (disk) => [
      ...['-object', 'memory-backend-memfd,id=ram0,size=16M,share=on'],
      ...['-machine', 'q35,graphics=off,memory-backend=ram0', '-accel', 'tcg', '-vga', 'none', '-m', '16M'],
      ...ideDisk(disk),
    ],
  },
  {
    name: 'virtio-mem',
    versions: ['10.0'],
    machineArguments: (disk) => [
      ...q35,
      ...['-m', '16M,maxmem=272M', '-object', 'memory-backend-ram,id=m1,size=256M'],
      ...['-device', 'virtio-mem-pci,memdev=m1,requested-size=0'],
      ...ideDisk(disk),
    ],
  },
];

/** One connection of a migration, as it passed. */
interface Recording {
  readonly forward: Buffer[];
  readonly backward: Buffer[];
}

/** Joins each connection to `listenPath` to `targetPath` and records both directions. */
function recordBetween(listenPath: string, targetPath: string, recordings: Recording[]): Server {
  const server = createServer({ allowHalfOpen: true }, (source: Socket) => {
    const target = connect({ path: targetPath, allowHalfOpen: true });
    const recording: Recording = { forward: [], backward: [] };
    recordings.push(recording);
    source.on('data', (bytes: Buffer) => recording.forward.push(bytes));
    target.on('data', (bytes: Buffer) => recording.backward.push(bytes));
    source.pipe(target);
    target.pipe(source);
    for (const socket of [source, target]) socket.on('error', () => undefined);
  });
  return server.listen(listenPath);
}

async function unpackQemu(suite: string, backports: boolean, tree: string): Promise<QemuInstallation> {
  if (!existsSync(path.join(tree, 'usr/bin/qemu-system-x86_64'))) {
    const filters = ['Created-By: Packages', 'Origin: Debian'];
    const targets = await $`apt-get indextargets --format ${'$(REPO_URI)|$(RELEASE)'} ${filters}`;
    const uri = targets
      .lines()
      .map((line) => line.split('|'))
      .find(([, release]) => release !== undefined && !/-(security|updates|backports)$/.test(release))?.[0];
    if (uri === undefined) throw new Error('no Debian archive is configured: run apt-get update first');
    const signed = '[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]';
    const suites = backports ? [suite, `${suite}-backports`] : [suite];
    rmSync(tree, { recursive: true, force: true });
    const options = [
      ...['--mode=root', '--variant=extract', '--include=qemu-system-x86'],
      ...[
        '--aptopt=Apt::Install-Recommends "false"',
        `--aptopt=APT::Default-Release "${suites.at(-1) ?? suite}"`,
      ],
    ];
    const sources = suites.map((name) => `deb ${signed} ${uri} ${name} main`);
    await $({
      stdio: ['ignore', 'ignore', 'inherit'],
    })`mmdebstrap ${options} ${suite} ${tree} ${sources}`;
  }
  return qemuInTree(tree);
}

async function capture(
  installation: QemuInstallation,
  variant: Variant,
  folder: string,
): Promise<Recording[]> {
  const disk = path.join(folder, 'disk');
  writeBootDisk(disk);
  const sourcePath = path.join(folder, 'source');
  const targetPath = path.join(folder, 'target');
  const recordings: Recording[] = [];
  const server = recordBetween(sourcePath, targetPath, recordings);
  const machine = variant.machineArguments(disk);
  const source = await Qemu.start(installation, machine);
  // Both open the same disk, as with shared storage; the source does not write to it.
  const target = await Qemu.start(installation, [...machine, '-incoming', 'defer']);
  try {
    for (const qemu of [source, target])
      await qemu.setCapabilities(['events', ...(variant.capabilities ?? [])]);
    await target.execute('migrate-incoming', { uri: `unix:${targetPath}` });
    // Wait for the boot program: until then little changes.
    await new Promise((resolve) => setTimeout(resolve, 4000));
    const passes = variant.minPasses ?? 0;
    await source.execute('migrate-set-parameters', {
      'max-bandwidth': 4 << 20,
      'downtime-limit': passes > 0 ? 1 : 300,
      ...variant.parameters,
    });
    await source.execute('migrate', { uri: `unix:${sourcePath}` });
    await source.waitForMigration(
      ({ status, ram }) => status === 'completed' || (ram?.['dirty-sync-count'] ?? 0) > passes,
    );
    if (variant.startsPostcopy === true) await source.execute('migrate-start-postcopy');
    else await source.execute('migrate-set-parameters', { 'downtime-limit': 2000, 'max-bandwidth': 1 << 30 });
    await source.waitForMigration(({ status }) => status === 'completed');
    await target.waitForMigration(({ status }) => status === 'completed');
    return recordings;
  } finally {
    await source.stop();
    await target.stop();
    server.close();
  }
}

async function main(): Promise<void> {
  const work = process.argv[2] ?? '/var/cache/poolshift/capture';
  const only = process.argv[3];
  mkdirSync(work, { recursive: true });
  mkdirSync(fixtures, { recursive: true });
  for (const { qemu, suite, backports } of releases) {
    const installation = await unpackQemu(suite, backports, path.join(work, `qemu-${qemu}`));
    for (const variant of variants.filter(
      ({ name, versions }) => versions.includes(qemu) && (only ?? name) === name,
    )) {
      const folder = mkdtempSync(path.join(work, 'run-'));
      try {
        const recordings = await capture(installation, variant, folder);
        recordings.forEach(({ forward, backward }, index) => {
          const name = `qemu-${qemu}-${variant.name}${index === 0 ? '' : `.channel-${index}`}`;
          // Of a multifd connection only its start is of interest.
          store(name, index === 0 ? forward : [Buffer.concat(forward).subarray(0, 256)]);
          if (index === 0 && backward.length > 0) store(`${name}.return-path`, backward);
        });
      } finally {
        rmSync(folder, { recursive: true });
      }
    }
  }
}

function store(name: string, chunks: readonly Buffer[]): void {
  const bytes = Buffer.concat(chunks);
  const compressed = zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 19 } });
  writeFileSync(path.join(fixtures, `${name}.zst`), compressed);
  console.log(`${name}: ${bytes.length} bytes, ${compressed.length} compressed`);
}

await main();
