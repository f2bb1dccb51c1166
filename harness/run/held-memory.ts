/** What the memory of a warmed guest holds: pages of zeros as the host sees them, the page cache as the guest says. */
import { z } from 'zod';
import { isCoded } from '../../foundation/coded-error.ts';
import type { HeldMemory } from '../../record/manifest.ts';
import { bundleProgram } from '../probes/bundle.ts';
import type { Testbed } from '../testbed/host.ts';
import { quote } from '../testbed/ssh-host.ts';
import { openGuestShell } from '../vm/guest-shell.ts';
import type { VmPlace } from '../vm/vm-place.ts';
import type { Deploy } from './deploy.ts';

const zeroPagesSchema = z.object({
  pages: z.number().int().positive(),
  zero_pages: z.number().int().nonnegative(),
});
const pageBytes = 4096;

/** A gigabyte takes a second, and on a host without a processor to spare many. */
const countTimeoutMs = 300_000;

/** Bytes by the names that /proc/meminfo gives them (Linux, Documentation/filesystems/proc.rst). */
export function parseMeminfo(text: string): ReadonlyMap<string, number> {
  return new Map(
    [...text.matchAll(/^(\w+): +(\d+) kB$/gm)].map(([, name = '', kib]) => [name, Number(kib) * 1024]),
  );
}

/** Pages of files and of the block device; those of tmpfs, which no storage has, are counted as cached by Linux, too. */
export function pageCacheBytes(meminfo: ReadonlyMap<string, number>): number {
  const of = (name: string): number => meminfo.get(name) ?? 0;
  return Math.max(0, of('Cached') + of('Buffers') - of('Shmem'));
}

/** @throws CodedError 'host' */
async function zeroBytesOf(
  { hosts }: Testbed,
  { machine }: VmPlace,
  deploy: Deploy,
  log: (line: string) => void,
): Promise<number> {
  const program = await deploy(await bundleProgram('zero-pages', log), 'src');
  const { stdout } = await hosts.src.run(`node ${program} ${quote(machine.paths.ram)}`, {
    timeoutMs: countTimeoutMs,
  });
  return zeroPagesSchema.parse(JSON.parse(stdout)).zero_pages * pageBytes;
}

interface HeldMemoryOptions {
  readonly testbed: Testbed;
  readonly vm: VmPlace;
  readonly deploy: Deploy;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Undefined, with the reason in the log, where the guest lets nobody in: no run needs to know.
 * @throws the signal's reason when it aborts
 */
export async function readHeldMemory({
  testbed,
  vm,
  deploy,
  log,
  signal,
}: HeldMemoryOptions): Promise<HeldMemory | undefined> {
  try {
    const guest = await openGuestShell(testbed, vm, signal);
    const { stdout } = await guest.run('cat /proc/meminfo');
    return {
      zeroBytes: await zeroBytesOf(testbed, vm, deploy, log),
      pageCacheBytes: pageCacheBytes(parseMeminfo(stdout)),
    };
  } catch (error) {
    signal.throwIfAborted();
    if (!isCoded(error, 'host')) throw error;
    log(`what memory holds is not known: ${error.message}`);
    return undefined;
  }
}
