/**
 * Client downtime as SQL sees it: the gaps between the answers to a small query on a connection of its own. The query asks for
 * the time, so that its answers tell the guest's clock too.
 */
import { estimateOffset, type RoundTrip } from './clock.ts';
import { GapTracker } from './gap-tracker.ts';
import { startPacedLoop } from './paced-loop.ts';
import type { Emit, Probe, ProbeConfig } from './report.ts';
import { SqlSession } from './sql-session.ts';
import { nowMs } from './wall-clock.ts';

/** The server's time, in seconds since the epoch. */
const askTime = {
  mysql: 'SELECT UNIX_TIMESTAMP(NOW(6)) AS seconds',
  postgresql: 'SELECT EXTRACT(EPOCH FROM clock_timestamp()) AS seconds',
};

export function startHeartbeat(config: Extract<ProbeConfig, { probe: 'heartbeat' }>, emit: Emit): Probe {
  const tracker = new GapTracker(config.thresholdMs ?? 40);
  const session = new SqlSession(config.server, (state, detail) => {
    emit({ report: 'connection', at: nowMs(), probe: 'heartbeat', state, detail });
  });
  let roundTrips: RoundTrip[] = [];
  const timer = setInterval(() => {
    const [first, ...others] = roundTrips;
    roundTrips = [];
    emit({
      report: 'answers',
      at: nowMs(),
      probe: 'heartbeat',
      answers: first === undefined ? 0 : others.length + 1,
      ...(first === undefined ? {} : { clock: estimateOffset([first, ...others]) }),
    });
  }, 1000);

  const loop = startPacedLoop(config.intervalMs ?? 20, async () => {
    await session.connect();
    const sentMs = nowMs();
    const [row] = await session.query(askTime[config.server.protocol]);
    const receivedMs = nowMs();
    roundTrips.push({ sentMs, hostMs: Number(row?.['seconds']) * 1000, receivedMs });
    const gap = tracker.answer(receivedMs);
    if (gap !== undefined) emit({ report: 'gap', at: gap.toMs, probe: 'heartbeat', ...gap, open: false });
  });

  return {
    stop: async () => {
      clearInterval(timer);
      const at = nowMs();
      const open = tracker.openGap(at);
      if (open !== undefined) emit({ report: 'gap', at, probe: 'heartbeat', ...open, open: true });
      session.close();
      await loop.stop();
      const { answers, longestGapMs } = tracker;
      emit({ report: 'probe-ended', at, probe: 'heartbeat', answers, longestGapMs });
    },
  };
}
