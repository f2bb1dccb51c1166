/** QEMU's programs beside QEMU itself, of the installation that tests take. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { QemuInstallation } from '../../../qemu/installation.ts';

export interface QemuTools {
  /** A PATH on which they are found. */
  readonly path: string;
  /** Runs qemu-img. @throws Error with what it says */
  readonly img: (...args: readonly string[]) => void;
}

/** @param folder where programs may be put for an installation that is an unpacked tree */
export function qemuTools({ leadingArguments, environment }: QemuInstallation, folder: string): QemuTools {
  const [option, libraries, program] = leadingArguments;
  const inherited = process.env['PATH'] ?? '';
  let searched = inherited;
  if (option === '--library-path' && libraries !== undefined && program !== undefined) {
    const tree = path.join(program, '../../..');
    const own = path.join(folder, 'bin');
    mkdirSync(own, { recursive: true });
    const loader = path.join(tree, 'usr/lib64/ld-linux-x86-64.so.2');
    for (const name of ['qemu-img', 'qemu-storage-daemon']) {
      const variables = Object.entries(environment).map(([key, value]) => `${key}='${value}' `);
      const command = `'${loader}' --library-path '${libraries}' '${tree}/usr/bin/${name}'`;
      writeFileSync(path.join(own, name), `#!/bin/sh\n${variables.join('')}exec ${command} "$@"\n`, {
        mode: 0o755,
      });
    }
    searched = `${own}:${inherited}`;
  }
  return {
    path: searched,
    img: (...args) => {
      execFileSync('qemu-img', args, { env: { ...process.env, PATH: searched }, stdio: 'pipe' });
    },
  };
}
