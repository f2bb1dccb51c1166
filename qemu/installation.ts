/** A QEMU that can be started: the machine's own, or one of an unpacked Debian tree. */
import { existsSync } from 'node:fs';
import path from 'node:path';

/** How to start one version of QEMU. */
export interface QemuInstallation {
  readonly command: string;
  /** Arguments that come first: firmware folders, or what a foreign C library's loader needs. */
  readonly leadingArguments: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** A QEMU in an unpacked Debian tree, run with the tree's own C library, so that no chroot is needed. */
export function qemuInTree(tree: string): QemuInstallation {
  const libraries = path.join(tree, 'usr/lib/x86_64-linux-gnu');
  // Debian 12 and older have /lib beside /usr/lib in their packages.
  const merged = [libraries, path.join(tree, 'lib/x86_64-linux-gnu')];
  const loader = ['usr/lib64', 'lib64']
    .map((dir) => path.join(tree, dir, 'ld-linux-x86-64.so.2'))
    .find(existsSync);
  if (loader === undefined) throw new Error(`${tree} holds no C library`);
  return {
    command: loader,
    leadingArguments: [
      '--library-path',
      merged.join(':'),
      path.join(tree, 'usr/bin/qemu-system-x86_64'),
      ...['usr/share/qemu', 'usr/share/seabios', 'usr/lib/ipxe/qemu'].flatMap((dir) => [
        '-L',
        path.join(tree, dir),
      ]),
    ],
    environment: { QEMU_MODULE_DIR: path.join(libraries, 'qemu') },
  };
}
