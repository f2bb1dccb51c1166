/** Client downtime as SQL sees it: the gaps between the answers to a `SELECT 1` on a connection of its own. */
import { GapTracker } from './gap-tracker.ts';
import { startPacedLoop } from './paced-loop.ts';
import type { Emit, Probe, ProbeConfig } from './report.ts';
import { SqlSession } from './sql-session.ts';
import { nowMs } from './wall-clock.ts';

export function startHeartbeat(config: Extract<ProbeConfig, { probe: 'heartbeat' }>, emit: Emit): Probe {
  const tracker = new GapTracker(config.thresholdMs ?? 40);
  const session = new SqlSession(config.server, (state, detail) => {
    emit({ report: 'connection', at: nowMs(), probe: 'heartbeat', state, detail });
  });
  let answersReported = 0;
  const timer = setInterval(() => {
    const answers = tracker.answers - answersReported;
    answersReported = tracker.answers;
    emit({ report: 'answers', at: nowMs(), probe: 'heartbeat', answers });
  }, 1000);

  const loop = startPacedLoop(config.intervalMs ?? 20, async () => {
    await session.query('SELECT 1');
    const gap = tracker.answer(nowMs());
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
