/** When what happened in a migration, on the harness's clock. Pure. */
import type { RunEvent } from '../event.ts';

type Ended = 'completed' | 'failed' | 'cancelled';

export interface Timeline {
  /** The migrate command: t = 0. */
  readonly commandMs: number;
  /** The source's last STOP before the target ran; undefined if there was no switchover. Of a restart: the command; of a replica: the source was told to end. */
  readonly stopMs: number | undefined;
  /** The target's first RESUME. Of a restart: when the server took a connection again. */
  readonly resumeMs: number | undefined;
  /** When and how the source's migration ended; undefined if the record ends before. Of a restart: the pool is loaded. */
  readonly ended: { readonly status: Ended; readonly atMs: number } | undefined;
}

const isEnded = (status: unknown): status is Ended =>
  status === 'completed' || status === 'failed' || status === 'cancelled';

/** Undefined if no migration was commanded. After several commands, the last one counts. */
export function timelineOf(events: readonly RunEvent[]): Timeline | undefined {
  const commandMs = events.findLast((event) => event.event === 'migrate-command')?.at_ms;
  if (commandMs === undefined) return undefined;
  const after = events.filter((event) => event.at_ms >= commandMs);
  if (after.some((event) => event.event === 'restart')) return restartTimeline(commandMs, after);
  const qmp = after.filter((event) => event.event === 'qmp');

  const resumeMs = qmp.find((event) => event.host === 'dst' && event.name === 'RESUME')?.at_ms;
  // A switchover that was given up leaves a STOP, and a RESUME at the source, behind.
  const lastSourceState = qmp.findLast(
    (event) =>
      event.host === 'src' &&
      (event.name === 'STOP' || event.name === 'RESUME') &&
      event.at_ms <= (resumeMs ?? Number.POSITIVE_INFINITY),
  );
  const stopMs = lastSourceState?.name === 'STOP' ? lastSourceState.at_ms : undefined;
  return { commandMs, stopMs, resumeMs, ended: migrationEnd(after) };
}

/** QEMU's own MIGRATION event gives the moment; where its events capability is off, the poll that first saw it. */
function migrationEnd(events: readonly RunEvent[]): Timeline['ended'] {
  for (const event of events) {
    if (event.event === 'qmp' && event.host === 'src' && event.name === 'MIGRATION') {
      const { status } = event.data;
      if (isEnded(status)) return { status, atMs: event.at_ms };
    }
    if (event.event === 'migration-status' && event.host === 'src' && isEnded(event.status)) {
      return { status: event.status, atMs: event.at_ms };
    }
  }
  return undefined;
}

/** The heartbeat and the harness both try to connect all the time: whoever is answered first tells the moment. */
function restartTimeline(commandMs: number, events: readonly RunEvent[]): Timeline {
  const phase = (name: string): number | undefined =>
    events.find((event) => event.event === 'restart' && event.phase === name)?.at_ms;
  const vmStartedMs = phase('vm-started') ?? Number.POSITIVE_INFINITY;
  const connectedMs = events.find(
    (event) =>
      event.event === 'connection' &&
      event.probe === 'heartbeat' &&
      event.state === 'connected' &&
      event.at_ms > vmStartedMs,
  )?.at_ms;
  const answeredMs = [connectedMs, phase('server-answers')].filter((atMs) => atMs !== undefined);
  const loadedMs = phase('pool-loaded');
  return {
    commandMs,
    stopMs: phase('source-closed') ?? commandMs,
    resumeMs: answeredMs.length === 0 ? undefined : Math.min(...answeredMs),
    ended: loadedMs === undefined ? undefined : { status: 'completed', atMs: loadedMs },
  };
}
