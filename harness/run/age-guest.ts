/**
 * `--guest aged`: makes a guest that was booted minutes ago hold what one holds that has run for weeks. Its server reads and
 * writes its files through the page cache (`agedServerOptions`); what the pool leaves of the memory is filled with file
 * pages, and what is free has held something.
 */
import { mebibytes, percent } from '../../foundation/quantity.ts';
import { CodedError } from '../../foundation/coded-error.ts';
import type { MachineDescription } from '../../qemu/machine-arguments.ts';
import type { Testbed } from '../testbed/host.ts';
import { openGuestShell } from '../vm/guest-shell.ts';
import { firstVm, type VmPlace } from '../vm/vm-place.ts';
import type { Deploy } from './deploy.ts';
import { zeroBytesOf } from './held-memory.ts';

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

/** An aged guest has fewer pages of zeros than this share of its memory. */
const maxZeroShare = 0.05;

/** Each writes what is free once and fills the page cache again; a second one reaches pages that were not free in the first. */
const maxRounds = 4;

/** An emulated guest of gigabytes reads all of its files once. */
const roundTimeoutMs = 30 * 60_000;

/**
 * Of the memory that is free, all but a reserve is written, as a file of a tmpfs, and given back. Then files are read until
 * little is free: the server's first, then others. Percentages are of all memory; the kernel keeps about one free for itself.
 */
const roundScript = `set -eu
kib() { while read -r name value unit; do if [ "$name" = "$1:" ]; then echo "$value"; return; fi; done < /proc/meminfo; }
total=$(kib MemTotal)
files() {
  find /var/lib/mysql -xdev -type f -name '*.ibd' -size +64k
  find /usr -xdev -type f -size +16k
}
write=$(( $(kib MemFree) - total / 50 ))
if [ "$write" -gt 0 ]; then
  mkdir -p /run/poolshift/aged
  mount -t tmpfs -o size="$write"k tmpfs /run/poolshift/aged
  while files | while read -r file; do cat "$file" 2> /dev/null || exit 1; done; do :; done |
    head -c "$write"k > /run/poolshift/aged/content || true
  umount /run/poolshift/aged
fi
files | while read -r file; do
  if [ "$(kib MemFree)" -lt $(( total / 40 )) ]; then break; fi
  cat "$file"
done > /dev/null
`;

interface AgeOptions {
  readonly testbed: Testbed;
  /** Default: the first. */
  readonly vm?: VmPlace | undefined;
  readonly deploy: Deploy;
  readonly vmMemoryBytes: number;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

/**
 * The guest runs, and its pool is warm.
 * @throws CodedError 'host'; CodedError 'run', 'guest-not-aged' if more of its memory stays zero; the signal's reason
 */
export async function ageGuest({
  testbed,
  vm = firstVm,
  deploy,
  vmMemoryBytes,
  log,
  signal,
}: AgeOptions): Promise<void> {
  const guest = await openGuestShell(testbed, vm, signal);
  let zero = vmMemoryBytes;
  for (let round = 1; round <= maxRounds; round += 1) {
    signal.throwIfAborted();
    await guest.run('exec sh -s', { input: roundScript, timeoutMs: roundTimeoutMs });
    zero = await zeroBytesOf(testbed, vm, deploy, log);
    log(`${mebibytes(zero)} of the guest's memory are zero (${percent(zero / vmMemoryBytes)})`);
    if (zero < maxZeroShare * vmMemoryBytes) return;
  }
  throw new CodedError(
    'run',
    'guest-not-aged',
    `${percent(zero / vmMemoryBytes)} of the guest's memory are zero after ${maxRounds} rounds, not less than ${percent(maxZeroShare)}: its files are too few to fill it`,
  );
}
