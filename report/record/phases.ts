/** The phases of one migration, from its events and samples. Pure. */
import type { RunEvent } from './events.ts';
import type { Run } from './read-set.ts';
import { tpsRecoveryMsOf } from './run-row.ts';

export const phaseNames = [
  'list',
  'first-pass',
  'further-passes',
  'restore',
  'gate',
  'switchover',
  'recovery',
] as const;

interface Phase {
  readonly phase: (typeof phaseNames)[number];
  /** Since the migrate command. */
  readonly fromMs: number;
  readonly toMs: number;
}

export function phasesOf({ row, manifest, events, series, nowMs }: Run): Phase[] {
  const phases: Phase[] = [];
  const add = (phase: Phase['phase'], fromMs: number | undefined, toMs: number | undefined): void => {
    if (fromMs !== undefined && toMs !== undefined && toMs > fromMs) phases.push({ phase, fromMs, toMs });
  };
  const engineEvent = (name: string, host?: string): Extract<RunEvent, { event: 'engine' }> | undefined =>
    events
      .filter((event) => event.event === 'engine')
      .find((event) => event.name === name && (host === undefined || event.host === host));
  const qmp = (host: string, name: string): number | undefined =>
    events
      .filter((event) => event.event === 'qmp')
      .findLast((event) => event.host === host && event.name === name && event.tMs > 0)?.tMs;

  const listed = engineEvent('listed', 'src');
  const listMs = listed?.fields.list_total_ms;
  if (listed !== undefined && listMs !== undefined) add('list', listed.tMs - listMs, listed.tMs);

  const stopMs = qmp('src', 'STOP');
  const resumeMs = qmp('dst', 'RESUME');
  const syncs = series.get('src dirty_sync_count') ?? [];
  // The first bitmap sync begins the first pass, the second one ends it.
  const secondSyncMs = syncs.find(({ value }) => value >= 2)?.tMs;
  // What goes on lasts until now; what did not converge, until it was cancelled.
  const untilMs = row.outcome === 'not-converged' ? cancelledMs(events) : (stopMs ?? nowMs);
  const firstPassEndMs = engineEvent('first-pass-done')?.tMs ?? secondSyncMs ?? untilMs;
  add('first-pass', 0, firstPassEndMs);
  add('further-passes', firstPassEndMs, untilMs);

  const restored = series.get('dst engine_pages_restored') ?? [];
  const finalPages = restored.at(-1)?.value ?? 0;
  const begunAt = restored.findIndex(({ value }) => value > 0);
  add(
    'restore',
    restored[Math.max(0, begunAt - 1)]?.tMs,
    restored.find(({ value }) => value >= finalPages)?.tMs,
  );

  // The switchover may be held more than once.
  let heldMs: number | undefined;
  for (const event of events) {
    if (event.event !== 'engine') continue;
    if (event.name === 'gate-held') heldMs = event.tMs;
    if (event.name === 'gate-released') {
      add('gate', heldMs, event.tMs);
      heldMs = undefined;
    }
  }
  // With --verify-ram the target waits for the comparison, which is no part of the migration.
  if (!manifest.configuration.verifyRam) add('switchover', stopMs, resumeMs);
  add('recovery', 0, tpsRecoveryMsOf(row));
  return phases;
}

/** QEMU calls a migration that was told to stop now "cancelled", now "failed". */
function cancelledMs(events: readonly RunEvent[]): number | undefined {
  return events.find(
    (event) =>
      event.tMs > 0 &&
      ((event.event === 'qmp' &&
        event.host === 'src' &&
        event.name === 'MIGRATION' &&
        isOver(event.data['status'])) ||
        (event.event === 'migration-status' && event.host === 'src' && isOver(event.status))),
  )?.tMs;
}

const isOver = (status: unknown): boolean => status === 'cancelled' || status === 'failed';
