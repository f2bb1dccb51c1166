/**
 * Holds a run's history against what docs/engine.md promises. It knows what happened and which fault was meant, and
 * nothing of how either came about. Pure.
 */
import type { EngineHistory, History } from './history.ts';
import type { Action, ProcessName } from './plan.ts';

export type ViolationName =
  | 'two-vms'
  | 'no-vm'
  | 'differing-pages'
  | 'false-migrated'
  | 'false-at-source'
  | 'false-in-doubt'
  | 'ran-in-doubt'
  | 'source-was-needed'
  | 'not-migrated'
  | 'no-last-word'
  | 'crashed'
  | 'hangs'
  | 'leftovers'
  | 'no-answer'
  | 'lost-commits'
  | 'broken-tables';

export interface Violation {
  readonly name: ViolationName;
  readonly detail: string;
}

/** Where the VM was in the end. */
export const endNames = ['at target', 'at source', 'gone with its host', 'violated'] as const;
export type EndName = (typeof endNames)[number];

export const exits = { migrated: 0, failed: 1, inDoubt: 3, incomplete: 4, interrupted: 130 } as const;

/** The last word that goes with each exit status. */
const lastWords: Readonly<Record<number, readonly string[]>> = {
  [exits.migrated]: ['done'],
  [exits.failed]: ['failed'],
  [exits.inDoubt]: ['in-doubt'],
  [exits.incomplete]: ['incomplete', 'signal-refused'],
  [exits.interrupted]: ['cancelled'],
};

/** Everything that is wrong with a run. */
export function violationsIn(history: History): readonly Violation[] {
  return [
    ...twoVms(history),
    ...noVm(history),
    ...differingPages(history),
    ...(['source', 'destination'] as const).flatMap((side) => [
      ...claims(history, side),
      ...words(history, side),
    ]),
    ...inDoubt(history),
    ...control(history),
    ...leftovers(history),
    ...promises(history),
  ];
}

export const violation = (name: ViolationName, detail: string): Violation => ({ name, detail });

export function leftovers({ leftovers: left }: History): Violation[] {
  return left.length === 0 ? [] : [violation('leftovers', left.join(', '))];
}

/** Whether the fault was the end of this process. */
export function killed({ fault, faultAtMs }: History, process: ProcessName): boolean {
  return (
    faultAtMs !== undefined &&
    fault.kind === 'action' &&
    fault.action.kind === 'signal' &&
    fault.action.process === process
  );
}

/** Both VMs ran at one time. */
export function twoVms({ sourceVm, targetVm }: History): Violation[] {
  for (const [sourceFrom, sourceTo] of sourceVm.runs)
    for (const [targetFrom, targetTo] of targetVm.runs) {
      const ms = Math.min(sourceTo, targetTo) - Math.max(sourceFrom, targetFrom);
      if (ms > 0) return [violation('two-vms', `both ran for ${ms === Infinity ? 'ever' : `${ms} ms`}`)];
    }
  return [];
}

/** A VM dies with its QEMU, and for no other reason. */
function noVm(history: History): Violation[] {
  const { sourceVm, targetVm } = history;
  if (sourceVm.status === 'running' || targetVm.status === 'running') return [];
  if (endOf(history) === 'gone with its host') return [];
  return [violation('no-vm', `source: ${sourceVm.status}, target: ${targetVm.status}`)];
}

export function differingPages({ differingPages: pages = [] }: History): Violation[] {
  return pages.length === 0
    ? []
    : [violation('differing-pages', `${pages.length} pages, first ${pages.slice(0, 5).join(' ')}`)];
}

/** What an exit status says of where the VM is. */
function claims(history: History, side: 'source' | 'destination'): Violation[] {
  const { end } = history[side];
  const { sourceVm, targetVm, targetHasVm } = history;
  const states = `source: ${sourceVm.status}, target: ${targetVm.status}`;
  const atTarget = targetHasVm && (endOf(history) !== 'at source' || sourceWentOn(history));
  if (end === exits.migrated && !atTarget)
    return [violation('false-migrated', `the ${side} engine ended with ${end}; ${states}`)];
  if (end !== exits.failed && end !== exits.interrupted) return [];
  const atSource = sourceVm.status === 'running' || killed(history, 'source-qemu');
  return targetHasVm || !atSource
    ? [violation('false-at-source', `the ${side} engine ended with ${end}; ${states}`)]
    : [];
}

/**
 * The source's QEMU was let go by the fault and by no engine, together with the target's word: an engine has ended with 0, since
 * the target has everything, and the VM runs on at the source. No engine can tell; so it is counted, and no violation.
 */
export function sourceWentOn(history: History): boolean {
  const { fault, faultAtMs, source, destination, sourceVm } = history;
  const cancelled = fault.kind === 'action' && fault.action.kind === 'cancel';
  return (
    faultAtMs !== undefined &&
    lettingGo(history) &&
    (source.end === exits.migrated || destination.end === exits.migrated) &&
    sourceVm.migration === (cancelled ? 'cancelled' : 'failed') &&
    endOf(history) === 'at source'
  );
}

/** Whether the fault breaks off QEMU's migration behind the engines' back, so that its VM runs on by itself. */
function lettingGo(history: History): boolean {
  const { fault } = history;
  if (fault.kind !== 'action') return false;
  return fault.action.kind === 'cancel' || isCutFromQemu(fault.action) || killed(history, 'source-engine');
}

/** Ends in its own time, with a known status, and the event that belongs to it. */
export function words(history: History, side: 'source' | 'destination'): Violation[] {
  const { end, events, errors } = history[side];
  const last = events.at(-1)?.event;
  if (end === 'absent') return [];
  if (/^\s+at .+:\d+:\d+/m.test(errors))
    return [violation('crashed', `${side} engine: ${errors.slice(0, 300)}`)];
  if (end === 'limit') {
    return last === 'waiting-for' || last === 'in-doubt'
      ? []
      : [violation('hangs', `the ${side} engine does not end; its last word was "${last ?? ''}"`)];
  }
  // What tells it that the VM may move came when it was over.
  if (end === 'SIGUSR1' && ['failed', 'cancelled'].includes(last ?? '')) return [];
  if (typeof end === 'string') {
    return killed(history, `${side}-engine`) ? [] : [violation('crashed', `${side} engine ended by ${end}`)];
  }
  const expected = lastWords[end];
  if (expected === undefined) return [violation('crashed', `${side} engine ended with ${end}: ${errors}`)];
  return last !== undefined && expected.includes(last)
    ? []
    : [violation('no-last-word', `${side} engine ended with ${end}, its last word was "${last ?? ''}"`)];
}

/** In doubt is said only where it is so, and then the VM does not run at the source until somebody has decided. */
function inDoubt(history: History): Violation[] {
  const { source, destination, fault, faultAtMs, sourceVm, resolution } = history;
  const said = (engine: EngineHistory): boolean => engine.events.some(({ event }) => event === 'in-doubt');
  if (!said(source) && !said(destination)) return [];
  if (faultAtMs === undefined || fault.kind === 'missing-device')
    return [violation('false-in-doubt', 'nothing broke that was needed to know')];
  const doubt = source.events.find(({ event }) => event === 'in-doubt');
  if (doubt === undefined) return [];
  const found: Violation[] = [];
  if (!source.events.some(({ event }) => event === 'switch-over'))
    found.push(violation('false-in-doubt', 'the source engine was in doubt before the switchover'));
  const untilMs = resolution?.atMs ?? Infinity;
  const ran = sourceVm.runs.some(([fromMs]) => fromMs > doubt.atMs && fromMs < untilMs);
  if (ran && !lettingGo(history) && !history.continuedAtSource)
    found.push(violation('ran-in-doubt', 'the VM went on at the source before anybody decided'));
  return found;
}

function isCutFromQemu(action: Action): boolean {
  return 'place' in action && action.place === 'outgoing';
}

/** Without a fault a migration succeeds. */
export function control({ fault, source, destination }: History): Violation[] {
  if (fault.kind !== 'none') return [];
  const ends = [source, destination].map(({ end }) => end);
  return ends.every((end) => end === exits.migrated)
    ? []
    : [violation('not-migrated', `the engines ended with ${ends.join(' and ')}`)];
}

/** What a client was told is so. */
function promises({ database }: History): Violation[] {
  if (database === undefined) return [];
  const { answered, acknowledged, lost, firstLost, tables } = database;
  if (!answered) return [violation('no-answer', 'no commit was acknowledged after the migration')];
  const broken = tables.filter(({ ok }) => !ok).map(({ table, message }) => `${table}: ${message}`);
  return [
    ...(lost === 0
      ? []
      : [violation('lost-commits', `${lost} of ${acknowledged}, first ${firstLost ?? 'unknown'}`)]),
    ...(tables.length === 0 ? [violation('broken-tables', 'there is none')] : []),
    ...(broken.length === 0 ? [] : [violation('broken-tables', broken.join('; '))]),
  ];
}

/** Where the VM is. */
export function endOf(history: History): Exclude<EndName, 'violated'> | undefined {
  const { sourceVm, targetVm, targetHasVm } = history;
  if (targetVm.status === 'running') return 'at target';
  if (sourceVm.status === 'running') return 'at source';
  const lost = killed(history, 'source-qemu') || (killed(history, 'target-qemu') && targetHasVm);
  return lost ? 'gone with its host' : undefined;
}
