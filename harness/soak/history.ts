/** What happened in a run of the soak test, as the checker reads it. */
import type { Fault } from './plan.ts';

export interface SoakEvent {
  readonly event: string;
  /** Of the machine's clock. */
  readonly atMs: number;
  readonly code?: string | undefined;
  readonly reason?: string | undefined;
}

export interface EngineHistory {
  /**
   * Exit status; the signal that ended it; `limit`: it was still there when the run's time was over; `absent`: it was not
   * started, because the other one had failed.
   */
  readonly end: number | NodeJS.Signals | 'limit' | 'absent';
  /** Without `progress`. */
  readonly events: readonly SoakEvent[];
  /** Standard error. */
  readonly errors: string;
}

export interface VmHistory {
  /** When it ran, of the machine's clock; the last one may go on (Infinity). */
  readonly runs: readonly (readonly [fromMs: number, toMs: number])[];
  /** QMP query-status at the end, or `ended` where QEMU has ended, `silent` where it does not answer. */
  readonly status: string;
  /** QMP query-migrate at the end; undefined where there is no answer. */
  readonly migration: string | undefined;
}

/** What became of what clients had been promised, on the VM that lives. */
export interface DatabaseHistory {
  /** No VM was left: the guest was booted from its disk, and the server has recovered. */
  readonly startedAnew: boolean;
  /** A client had commits acknowledged after the migration was over. */
  readonly answered: boolean;
  /** Commits of the whole run. */
  readonly acknowledged: number;
  readonly lost: number;
  readonly firstLost?: number | undefined;
  /** What CHECK TABLE says; empty where the server did not answer. */
  readonly tables: readonly { readonly table: string; readonly ok: boolean; readonly message: string }[];
}

export interface History {
  readonly fault: Fault;
  /** Whether the fault's moment came, and when. */
  readonly faultAtMs: number | undefined;
  readonly source: EngineHistory;
  readonly destination: EngineHistory;
  readonly sourceVm: VmHistory;
  readonly targetVm: VmHistory;
  /** The target has loaded everything, and has said so. */
  readonly targetHasVm: boolean;
  /** What somebody who had to decide after "in doubt" did, having looked at the target. */
  readonly resolution?: { readonly atMs: number; readonly to: 'source' | 'target' } | undefined;
  /** QEMU held the migration for completed at the source, but no target had the VM: it was continued at the source. */
  readonly continuedAtSource: boolean;
  /** Pages that differ; undefined where the target has no memory to compare. */
  readonly differingPages?: readonly number[] | undefined;
  /** Processes, sockets and files that engines have left behind. */
  readonly leftovers: readonly string[];
  /** Of an early resume; `recovered`: what was missing was brought by a recovery. */
  readonly early?: { readonly recovered: boolean } | undefined;
  /** Where the guest has a database. */
  readonly database?: DatabaseHistory | undefined;
}

/** When a VM ran, from QEMU's STOP and RESUME events in their order. */
export function runsOf(
  events: readonly { readonly name: string; readonly atMs: number }[],
  startedMs: number | undefined,
  endedMs = Infinity,
): readonly (readonly [number, number])[] {
  const runs: [number, number][] = [];
  let since = startedMs;
  for (const { name, atMs } of events) {
    if (name === 'RESUME') since ??= atMs;
    if (name !== 'STOP' || since === undefined) continue;
    runs.push([since, atMs]);
    since = undefined;
  }
  if (since !== undefined) runs.push([since, endedMs]);
  return runs;
}
