/**
 * `--guest aged`: makes a guest that was booted minutes ago hold what one holds that has run for weeks. Its server reads and
 * writes its files through the page cache (`agedServerOptions`); what is free holds something (../probes/age-memory.ts), and
 * what the pool leaves of the memory is filled with file pages, the server's first.
 */
import { readFile } from 'node:fs/promises';
import { pageCacheBytes, parseMeminfo } from '../../guest/agent/meminfo.ts';
import { mebibytes, percent } from '../../foundation/quantity.ts';
import { CodedError } from '../../foundation/coded-error.ts';
import type { MachineDescription } from '../../qemu/machine-arguments.ts';
import { bundleProgram } from '../probes/bundle.ts';
import type { Testbed } from '../testbed/host.ts';
import { openGuestShell } from '../vm/guest-shell.ts';
import { firstVm, type VmPlace } from '../vm/vm-place.ts';

/** The default of MySQL 5.7, which the paper ran: no O_DIRECT, so that the page cache has a copy of what the server reads. */
const agedServerOptions = ['--innodb-flush-method=fsync'];

/** The machine with these changes, and with what its server is started with in a guest of that kind. */
export function withGuest(
  guest: 'aged' | undefined,
  machine: MachineDescription,
  changes: Partial<MachineDescription>,
): MachineDescription {
  const changed = { ...machine, ...changes };
  return guest === undefined
    ? changed
    : { ...changed, serverOptions: [...agedServerOptions, ...(changes.serverOptions ?? [])] };
}

/** Less of an aged guest's memory is free, or what its kernel keeps free, which of a small guest's may be more. */
const maxFreeShare = 0.05;
const maxFreeMinimums = 2;

/** An emulated guest of gigabytes reads all of its files once. */
const agingTimeoutMs = 30 * 60_000;

/** Programs' files are read, the largest first, until little is free; then the guest says what is. */
const fillPageCache = `set -eu
minimum=$(cat /proc/sys/vm/min_free_kbytes)
find /usr -xdev -type f -size +16k -printf '%s %p\\n' | sort -rn | while read -r _ file; do
  { read -r _ total _ && read -r _ free _; } < /proc/meminfo
  if [ "$free" -lt $(( minimum * 3 / 2 + total / 200 )) ]; then break; fi
  cat "$file"
done > /dev/null
cat /proc/meminfo
echo "Minimum: $minimum kB"
`;

interface AgeOptions {
  readonly testbed: Testbed;
  /** Default: the first. */
  readonly vm?: VmPlace | undefined;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

/**
 * The guest runs, and its pool is warm. What stays zero is the kernel's and the server's own, which no guest fills.
 * @throws CodedError 'host'; CodedError 'run', 'guest-not-aged' if more of its memory stays free; the signal's reason
 */
export async function ageGuest({ testbed, vm = firstVm, log, signal }: AgeOptions): Promise<void> {
  const guest = await openGuestShell(testbed, vm, signal);
  const program = await readFile(await bundleProgram('age-memory', log));
  for (const part of ['free', 'tables']) {
    await guest.run(`exec node --input-type=module - ${part}`, { input: program, timeoutMs: agingTimeoutMs });
    signal.throwIfAborted();
  }
  const { stdout } = await guest.run('exec sh -s', { input: fillPageCache, timeoutMs: agingTimeoutMs });
  const meminfo = parseMeminfo(stdout);
  const [free = NaN, total = NaN, minimum = NaN] = ['MemFree', 'MemTotal', 'Minimum'].map((name) =>
    meminfo.get(name),
  );
  log(
    `${percent(free / total)} of the guest's memory are free, page cache ${mebibytes(pageCacheBytes(meminfo))}`,
  );
  if (free < Math.max(maxFreeShare * total, maxFreeMinimums * minimum)) return;
  throw new CodedError(
    'run',
    'guest-not-aged',
    `${percent(free / total)} of the guest's memory stay free, not less than ${percent(maxFreeShare)}: its files are too few to fill it`,
  );
}
