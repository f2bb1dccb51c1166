/** The guest's kernel and its initial RAM disk: the drivers of a virtual machine and two small scripts. */
import { copyFile, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { $ } from 'zx';
import { CodedError } from '../../foundation/coded-error.ts';
import { hashFiles, prepare, type Log } from '../../scripts/cache.ts';
import { cpioArchive, type CpioEntry } from './cpio.ts';
import { kernelPackages } from '../../scripts/debian-packages.ts';
import { confined } from './confined.ts';
import { bootstrap } from './packages.ts';

interface Kernel {
  readonly kernelPath: string;
  /** Without keys and agent, which `makeInitrd` appends. */
  readonly initrdPath: string;
  /** As `uname -r` states it. */
  readonly version: string;
}

/** Drivers that the guest uses; those that are built into the kernel are left out when the disk is made. */
const drivers = [
  'virtio_pci',
  'virtio_blk',
  'virtio_net',
  'virtio_console',
  'virtio_balloon',
  'crc32c-intel',
  'ext4',
];
/** Loaded only where the data directory lies on NFS. */
const nfsDrivers = ['nfsv4'];

const applets = ['sh', 'cat', 'cp', 'insmod', 'mount', 'poweroff', 'sleep', 'switch_root'];

const scripts = { initrd: 'initrd-init.sh', guest: 'guest-init.sh' };
const scriptPath = (name: string): string => path.join(import.meta.dirname, name);

/** The kernel with the programs of the initial RAM disk, unpacked but not installed. */
async function prepareKernelTree(log: Log): Promise<string> {
  const entry = await prepare({
    name: 'guest-kernel',
    keyParts: [JSON.stringify(kernelPackages), 'depmod'],
    log,
    build: async (dir) => {
      const tree = path.join(dir, 'tree');
      await bootstrap(tree, kernelPackages, { variant: 'extract', log });
      await confined({ log })`depmod --basedir ${tree} ${await versionOf(tree)}`;
    },
  });
  return path.join(entry, 'tree');
}

/** @throws CodedError 'guest-image', 'incomplete' */
async function versionOf(tree: string): Promise<string> {
  const [version] = await readdir(path.join(tree, 'lib/modules'));
  if (version === undefined)
    throw new CodedError('guest-image', 'incomplete', `no kernel in ${tree}/lib/modules`);
  return version;
}

export async function prepareKernel(log: Log): Promise<Kernel> {
  const tree = await prepareKernelTree(log);
  const version = await versionOf(tree);
  const entry = await prepare({
    name: 'guest-boot',
    keyParts: [
      tree,
      JSON.stringify([drivers, nfsDrivers, applets]),
      await hashFiles([
        ...Object.values(scripts).map(scriptPath),
        import.meta.filename,
        scriptPath('cpio.ts'),
      ]),
    ],
    log,
    build: async (dir) => {
      await copyFile(path.join(tree, `boot/vmlinuz-${version}`), path.join(dir, 'vmlinuz'));
      const archive = cpioArchive(await baseEntries(tree, version));
      await writeFile(path.join(dir, 'initrd'), gzipSync(archive));
    },
  });
  return { kernelPath: path.join(entry, 'vmlinuz'), initrdPath: path.join(entry, 'initrd'), version };
}

async function baseEntries(tree: string, version: string): Promise<CpioEntry[]> {
  const directory = (name: string): CpioEntry => ({ kind: 'directory', path: name });
  const always = await modulesInOrder(tree, version, drivers);
  const all = await modulesInOrder(tree, version, [...drivers, ...nfsDrivers]);
  const order = (path: string, modules: readonly KernelModule[]): CpioEntry => ({
    kind: 'file',
    path,
    content: Buffer.from(modules.map(({ name }) => `${name}\n`).join('')),
  });
  return [
    ...['bin', 'dev', 'proc', 'sys', 'root', 'modules', 'poolshift'].map(directory),
    { kind: 'character-device', path: 'dev/console', major: 5, minor: 1 },
    { kind: 'character-device', path: 'dev/null', major: 1, minor: 3, mode: 0o666 },
    {
      kind: 'file',
      path: 'bin/busybox',
      mode: 0o755,
      content: await readFile(path.join(tree, 'bin/busybox')),
    },
    ...applets.map((name): CpioEntry => ({ kind: 'symlink', path: `bin/${name}`, target: 'busybox' })),
    ...all.map(({ name, content }): CpioEntry => ({ kind: 'file', path: `modules/${name}`, content })),
    order('modules/order', always),
    order('modules/nfs-order', all.slice(always.length)),
    { kind: 'file', path: 'init', mode: 0o755, content: await readFile(scriptPath(scripts.initrd)) },
    { kind: 'file', path: 'poolshift/init', mode: 0o755, content: await readFile(scriptPath(scripts.guest)) },
  ];
}

interface KernelModule {
  readonly name: string;
  readonly content: Buffer;
}

/** The drivers' modules, each after those that it depends on. @throws CodedError 'guest-image', 'incomplete' */
async function modulesInOrder(
  tree: string,
  version: string,
  wanted: readonly string[],
): Promise<KernelModule[]> {
  const files = new Set<string>();
  // This machine's own configuration of modules is not the guest's.
  const options = ['--config', '/dev/null', '--dirname', tree, '--set-version', version];
  const run = $({ nothrow: true, quiet: true });
  for (const driver of wanted) {
    const { stdout, stderr, exitCode } =
      await run`modprobe ${options} --show-depends --ignore-install ${driver}`;
    if (exitCode !== 0)
      throw new CodedError('guest-image', 'incomplete', `the kernel has no module ${driver}: ${stderr}`);
    for (const file of moduleFiles(stdout)) files.add(file);
  }
  return Promise.all(
    [...files].map(async (file) => ({ name: path.basename(file), content: await readFile(file) })),
  );
}

/** What `modprobe --show-depends` wants loaded; what is built into the kernel is left out (modprobe(8)). */
export function moduleFiles(output: string): string[] {
  return output.split('\n').flatMap((line) => /^insmod (\S+)/.exec(line)?.[1] ?? []);
}
