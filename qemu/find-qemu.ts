/** Finds a QEMU for tests: the machine's own, else one that was unpacked for the lab's hosts or for the captures. */
import { execFileSync } from 'node:child_process';
import { globSync } from 'node:fs';
import path from 'node:path';
import { qemuInTree, type QemuInstallation } from './installation.ts';

/** Older ones lose guest writes while they migrate under TCG. */
const minVersion = 9;

interface FoundQemu {
  readonly installation: QemuInstallation;
  readonly majorVersion: number;
}

/** POOLSHIFT_TEST_QEMU names an unpacked tree to take instead, of any version. */
export function findQemu(): FoundQemu | undefined {
  const chosen = process.env['POOLSHIFT_TEST_QEMU'];
  if (chosen !== undefined) return identify(qemuInTree(chosen));
  const cache = process.env['POOLSHIFT_CACHE'] ?? '/var/cache/poolshift';
  const own: QemuInstallation = { command: 'qemu-system-x86_64', leadingArguments: [], environment: {} };
  const trees = globSync(
    ['*', '*/*'].map((folder) => path.join(cache, folder, 'usr/bin/qemu-system-x86_64')),
  );
  const candidates = [() => own, ...trees.map((file) => () => qemuInTree(path.join(file, '../../..')))];
  for (const candidate of candidates) {
    try {
      const found = identify(candidate());
      if (found.majorVersion >= minVersion) return found;
    } catch {
      // Not installed, or a tree that is not complete: try the next.
    }
  }
  return undefined;
}

function identify(installation: QemuInstallation): FoundQemu {
  const text = execFileSync(installation.command, [...installation.leadingArguments, '--version'], {
    encoding: 'utf8',
    stdio: 'pipe',
  });
  return { installation, majorVersion: Number(/version (\d+)/.exec(text)?.[1]) };
}
