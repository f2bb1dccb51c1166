/** `poolshift recover`: a VM that early resume has moved, and that lost its engines or its link, gets the pages that it misses. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError, isCoded } from '../foundation/coded-error.ts';
import { type OperatedHost } from './host.ts';
import { quote } from '../foundation/shell.ts';
import { endScript, migrationsFolder, parseEvent, signalMarked } from './launch.ts';
import { ProgressWatch, waitLine } from './progress.ts';
import type { Reporter } from './report.ts';

/** A VM that was moved. */
export interface BrokenMove {
  readonly vm: string;
  /** The source is undefined where it is lost: then the rest comes from storage. */
  readonly hosts: { readonly source: OperatedHost | undefined; readonly destination: OperatedHost };
  readonly engine: string;
  /** Where the target's QEMU can make a socket. */
  readonly targetSocket: string;
  /** @throws CodedError */
  look(): Promise<Look>;
  /** Tells the target to wait for a recovery. @throws CodedError */
  tellTarget(uri: string): Promise<void>;
  /** What ends what is left of the VM at the source; undefined where that is lost. */
  readonly endsSource: string | undefined;
}

export interface Look {
  readonly runsAtSource: boolean;
  /** What the target's QEMU says of its migration. */
  readonly targetMigration: string;
}

export type RecoveryEnd =
  | 'recovered'
  /** The VM is at the destination, and still without some of its pages. */
  | 'incomplete'
  | 'cancelled';

const progressMs = 500;

/**
 * @throws CodedError where nothing was begun: 'recovery' where there is nothing to recover, or libvirt is in the way; 'host', 'qmp' where
 *   somebody does not answer
 */
export async function recoverMove(
  move: BrokenMove,
  reporter: Reporter,
  onInterrupt: (listener: () => void) => void,
): Promise<RecoveryEnd> {
  const { vm, hosts, targetSocket } = move;
  // Nothing that was begun is left half done.
  const interruption = new AbortController();
  onInterrupt(() => {
    interruption.abort();
  });
  const isInterrupted = (): boolean => interruption.signal.aborted;
  const obstacle = obstacleTo(move, await lookWhenSettled(move, interruption.signal));
  if (obstacle !== undefined) throw new CodedError('recovery', 'not-needed', obstacle);
  const { id, file } = await leftBy(hosts, vm);
  if (isInterrupted()) {
    reporter.note('ended before anything was begun: run poolshift recover again');
    return 'cancelled';
  }
  try {
    await move.tellTarget(`unix:${targetSocket}`);
    const way =
      hosts.source === undefined
        ? { path: targetSocket, stop: () => Promise.resolve() }
        : await joinSockets(hosts.source, move);
    try {
      const end = await runRecovery(move, file, way.path, reporter, interruption.signal);
      if (end === 'recovered') {
        await tellHosts(move, id);
        reporter.note(`${vm} has everything on ${hosts.destination.name}${endingOf(move)}`);
      }
      return end;
    } finally {
      await way.stop();
    }
  } catch (error) {
    if (!(error instanceof CodedError) || isCoded(error, 'recovery')) throw error;
    reporter.note(notComing(move, error.message));
    return isInterrupted() ? 'cancelled' : 'incomplete';
  }
}

/** QEMU and libvirt take a moment to see that a migration is broken. */
const settlingMs = 5000;
const settlingPollMs = 500;

/** @throws CodedError */
async function lookWhenSettled(move: BrokenMove, signal: AbortSignal): Promise<Look> {
  const untilMs = performance.now() + settlingMs;
  for (;;) {
    const seen = await move.look();
    const isSettled = seen.targetMigration !== 'postcopy-active';
    if (isSettled || signal.aborted || performance.now() >= untilMs) return seen;
    await sleep(settlingPollMs);
  }
}

/** Who has what is missing. */
const giver = ({ source, destination }: BrokenMove['hosts']): OperatedHost => source ?? destination;

const endingOf = ({ hosts: { source }, endsSource }: Ended): string =>
  source === undefined || endsSource === undefined
    ? '; never continue what may be left of it at the source'
    : `; end what is left of it on ${source.name}: ${endsSource}`;

const notComing = ({ hosts: { source } }: BrokenMove, why: string): string =>
  `incomplete: ${why}. Run poolshift recover again; never continue the VM on ${source?.name ?? 'its source'}`;

/**
 * What of the script that started an engine is its QEMU's socket, for sed: its words are there as `quote` makes them. Exported for tests.
 */
export const socketIn = (role: 'source' | 'destination'): string =>
  String.raw`s/.* '${role === 'source' ? '--listen' : '--incoming'}' 'unix:\(\([^']\|'\\''\)*\)' .*/\1/;T;s/'\\''/'/g;p`;

/**
 * What an engine of the last early resume of this VM has left: the source's, or the destination's where the source is lost.
 *
 * @throws CodedError 'recovery', 'file', 'host'
 */
async function leftBy(
  hosts: BrokenMove['hosts'],
  vm: string,
): Promise<{ readonly id: string; readonly file: string }> {
  const host = giver(hosts);
  const role = hosts.source === undefined ? 'destination' : 'source';
  const said = `"vm":${JSON.stringify(vm)},"role":"${role}"`;
  const found = await host.run(`cd ${migrationsFolder} 2> /dev/null || exit 0
for id in $(ls -t); do
  grep -qF ${quote(said)} "$id/${role}.json" 2> /dev/null || continue
  socket=$(sed -n ${quote(socketIn(role))} "$id/${role}.sh" | head -n 1)
  if [ -n "$socket" ] && [ -e "$socket.recovery" ]; then printf '%s\\n' "$id" "$socket.recovery"; exit 0; fi
done`);
  const [id = '', file = ''] = found.split('\n');
  if (file === '')
    throw new CodedError(
      'recovery',
      'file',
      `${host.name} has no recovery file of ${vm}: it was not moved by "poolshift migrate --method resume", or the host was booted since` +
        `${hosts.source === undefined ? ', or not all that is missing was on storage yet' : ''}. Start the VM anew from its disk, as after a power failure`,
    );
  return { id, file };
}

/** For `poolshift status` and the journals; a host that is lost learns nothing. */
async function tellHosts({ vm, hosts }: BrokenMove, id: string): Promise<void> {
  const end = JSON.stringify({ outcome: 'recovered', endedAt: new Date().toISOString() });
  await Promise.allSettled(
    [hosts.source, hosts.destination].map(async (host) =>
      host?.run(
        endScript(id, end, `migration ${id} of ${vm}: recovered, all of it is on ${hosts.destination.name}`),
      ),
    ),
  );
}

interface Way {
  /** On the source host. */
  readonly path: string;
  stop(): Promise<void>;
}

/** Brings the target's socket to the source host, by way of this machine. @throws CodedError 'host' */
async function joinSockets(source: OperatedHost, { hosts, targetSocket }: BrokenMove): Promise<Way> {
  const here = await hosts.destination.forwardSocket(targetSocket, 'recovery');
  try {
    const there = await source.bringSocket(
      here.path,
      `/tmp/poolshift-recovery-${randomBytes(8).toString('hex')}`,
    );
    return {
      path: there.path,
      stop: async () => {
        await there.stop();
        await here.stop();
      },
    };
  } catch (error) {
    await here.stop();
    throw error;
  }
}

async function runRecovery(
  move: BrokenMove,
  file: string,
  socket: string,
  reporter: Reporter,
  signal: AbortSignal,
): Promise<RecoveryEnd> {
  const host = giver(move.hosts);
  const words = [move.engine, 'recover', file, '--target', `unix:${socket}`, '--json'].map(quote).join(' ');
  const following = host.follow(`printf '{"event":"process","pid":%s}\\n' $$; exec ${words} 2>&1`);
  const watch = new ProgressWatch(performance.now());
  watch.takeEvent('source', { event: 'moved', fields: {} });
  const ticks = setInterval(() => {
    reporter.progress(watch.at(performance.now()));
  }, progressMs);
  let last = 'the engine said nothing';
  const notRecovered = (why: string): RecoveryEnd => {
    reporter.note(notComing(move, why));
    return signal.aborted ? 'cancelled' : 'incomplete';
  };
  try {
    // Not by "for await", which waits for the engine's process where it is left: a read of storage that hangs in the kernel keeps it.
    const lines = following.lines[Symbol.asyncIterator]();
    for (let next = await lines.next(); next.done !== true; next = await lines.next()) {
      const line = next.value;
      const event = parseEvent(line);
      if (event === undefined) {
        last = line;
        continue;
      }
      const { fields } = event;
      // What is missing counts as memory that is yet to come, from wherever.
      const { migration_link_bytes = 0 } = fields;
      watch.takeEvent('source', { event: event.event, fields: { migration_link_bytes } });
      if (fields.pages_pending !== undefined) watch.takeJob({ remainingBytes: fields.pages_pending * 4096 });
      switch (event.event) {
        case 'process':
          endOnAbort(host, Number(fields['pid']), file, signal);
          break;
        case 'recovering':
          reporter.note(
            `${fields.pages_pending ?? 'some'} pages are missing: they follow from ${move.hosts.source === undefined ? 'storage' : `the memory of ${host.name}`}`,
          );
          break;
        case 'waiting-for':
          reporter.note(waitLine(event));
          break;
        case 'done':
          return 'recovered';
        case 'failed':
        case 'incomplete':
          return notRecovered(fields.reason ?? event.event);
      }
    }
  } finally {
    clearInterval(ticks);
    following.stop();
  }
  return notRecovered(last);
}

/** @param file among the arguments of the process */
function endOnAbort(host: OperatedHost, pid: number, file: string, signal: AbortSignal): void {
  const end = (): void => {
    void host.run(signalMarked(String(pid), file, 'TERM')).catch(() => undefined);
  };
  if (signal.aborted) end();
  else signal.addEventListener('abort', end);
}

/** What a message needs to know of a move. */
type Ended = Pick<BrokenMove, 'vm' | 'endsSource'> & {
  readonly hosts: {
    readonly source: Pick<OperatedHost, 'name'> | undefined;
    readonly destination: Pick<OperatedHost, 'name'>;
  };
};

/** Why there is nothing to recover. Pure. */
export function obstacleTo(move: Ended, { runsAtSource, targetMigration }: Look): string | undefined {
  const {
    vm,
    hosts: { source, destination },
  } = move;
  if (runsAtSource) {
    const where = source?.name ?? 'its source';
    return targetMigration.startsWith('postcopy-')
      ? `${vm} runs on ${where}, and QEMU on ${destination.name} has it as well: end that one, and recover nothing`
      : `${vm} runs on ${where}: it was not moved`;
  }
  switch (targetMigration) {
    case 'postcopy-paused':
    case 'postcopy-recover-setup':
      return undefined;
    case 'completed':
      return `${vm} has everything on ${destination.name}${endingOf(move)}`;
    case 'postcopy-active':
    case 'postcopy-recover':
      return `pages of ${vm} are on their way to ${destination.name}`;
    default:
      return `QEMU on ${destination.name} waits for no pages of ${vm}: its migration is "${targetMigration}"`;
  }
}
