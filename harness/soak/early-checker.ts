/**
 * Holds the history of an early resume against what docs/early-resume.md promises of it: the VM is at one of the two, with all of its
 * memory, in the end, unless the one host is lost that it could not do without. Pure.
 */
import {
  control,
  differingPages,
  type EndName,
  exits,
  killed,
  leftovers,
  twoVms,
  type Violation,
  violation,
  words,
} from './checker.ts';
import type { EngineHistory, History } from './history.ts';

/** Everything that is wrong with a run. */
export function violationsInEarly(history: History): readonly Violation[] {
  return [
    ...twoVms(history),
    ...noVm(history),
    ...differingPages(history),
    ...(['source', 'destination'] as const).flatMap((side) => [
      ...claims(history, side),
      ...(isDecided(history, side) ? [] : words(history, side)),
    ]),
    ...control(history),
    ...leftovers(history),
    ...sourceFree(history),
  ];
}

/** An engine in doubt was ended by whoever had looked at the target. */
function isDecided({ resolution, source }: History, side: 'source' | 'destination'): boolean {
  return side === 'source' && resolution?.to === 'source' && source.end === 'SIGKILL';
}

function noVm(history: History): Violation[] {
  if (endOfEarly(history) !== undefined) return [];
  const { sourceVm, targetVm } = history;
  const states = [sourceVm, targetVm].map(({ status, migration }) => `${status} (${migration ?? ''})`);
  return [violation('no-vm', `source: ${states[0] ?? ''}, target: ${states[1] ?? ''}`)];
}

/** What an exit status says of where the VM is. */
function claims(history: History, side: 'source' | 'destination'): Violation[] {
  const { end } = history[side];
  const { targetHasVm } = history;
  const at = endOfEarly(history) ?? 'nowhere';
  if (end === exits.migrated && !targetHasVm)
    return [violation('false-migrated', `the ${side} engine ended with ${end}; the VM is ${at}`)];
  if (end === exits.incomplete && !targetHasVm)
    return [violation('false-migrated', `the ${side} engine ended with ${end}; the VM is ${at}`)];
  if ((end === exits.failed || end === exits.interrupted) && targetHasVm)
    return [violation('false-at-source', `the ${side} engine ended with ${end}; the VM is ${at}`)];
  return [];
}

/** Since the destination engine has said so, nothing is lost with the source. */
function sourceFree(history: History): Violation[] {
  const { destination, faultAtMs } = history;
  if (faultAtMs === undefined || !losesSource(history)) return [];
  const before = destination.events.filter(({ atMs }) => atMs < faultAtMs - clockMs);
  const last = before.findLast(({ event }) => event === 'source-free' || event === 'source-needed');
  if (last?.event !== 'source-free' || destination.end === exits.migrated || storageDiffers(destination))
    return [];
  return [
    violation('source-was-needed', `the destination engine ended with ${String(destination.end)} without it`),
  ];
}

/** An event is stamped when it happens, and read a little later. */
const clockMs = 5;

function losesSource(history: History): boolean {
  const { fault } = history;
  if (killed(history, 'source-qemu') || killed(history, 'source-engine')) return true;
  return fault.kind === 'action' && fault.action.kind === 'cut' && fault.action.place === 'link';
}

function storageDiffers({ events }: EngineHistory): boolean {
  return events.some(
    ({ event, reason }) => event === 'incomplete' && reason?.startsWith('storage has other content') === true,
  );
}

/** Where the VM is. */
export function endOfEarly(history: History): Exclude<EndName, 'violated'> | undefined {
  const { sourceVm, targetVm, targetHasVm } = history;
  if (targetVm.status === 'running' && targetVm.migration === 'completed') return 'at target';
  if (sourceVm.status === 'running') return 'at source';
  // QEMU before 10.2 waits for a recovery at another target when its package has not started this one.
  if (!targetHasVm && sourceVm.migration === 'postcopy-paused') return 'at source';
  const lost = killed(history, 'source-qemu') || (killed(history, 'target-qemu') && targetHasVm);
  return lost ? 'gone with its host' : undefined;
}
