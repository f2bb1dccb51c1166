/** The simulation's gain over dirty rates, of the guest that was measured: the lines of figure extra-09. */
import path from 'node:path';
import { median } from 'simple-statistics';
import { constantRate } from '../engine/simulation/link.ts';
import { type MeasuredRun, readMeasuredRun } from '../engine/simulation/measured-run.ts';
import { simulate } from '../engine/simulation/simulate.ts';
import { isCoded } from '../foundation/coded-error.ts';
import type { RunSet, SimulatedGain } from '../report/record/read-set.ts';

/** Dirty rate over the configured rate of the migration link. */
const dirtyShares = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/** What is left of a link's rate for TCP payload (docs/predict.md). */
const payloadShare = 0.956;

/** A migration that takes longer has no point on the line. */
const maxTimeMs = 2 * 3600_000;

/**
 * For each method but pre-copy, a line through the median guest of its own runs: memory, content, list, compression and storage
 * are as measured, the dirty rate is that of all runs, and the migration link is as fast as the share says.
 */
export async function simulatedGains({ runs }: Pick<RunSet, 'runs'>): Promise<SimulatedGain[]> {
  const measured: MeasuredRun[] = [];
  for (const { set, name } of runs) {
    const run = await readMeasuredRun(path.join(set, name)).catch((error: unknown) => {
      if (isCoded(error, 'prediction')) return undefined;
      throw error;
    });
    if (run !== undefined && run.setup.guest.dirtyBytesPerSecond > 0) measured.push(run);
  }
  if (measured.length === 0) return [];
  const dirtyBytesPerSecond = median(measured.map(({ setup }) => setup.guest.dirtyBytesPerSecond));
  return [...Map.groupBy(measured, ({ engine }) => engine)].flatMap(([engine, ofEngine]) => {
    const typical = ofEngine.toSorted((a, b) => a.totalTimeMs - b.totalTimeMs)[
      Math.floor((ofEngine.length - 1) / 2)
    ];
    if (engine === 'precopy' || typical === undefined) return [];
    const { setup } = typical;
    return dirtyShares.flatMap((dirtyShare): SimulatedGain[] => {
      const at = {
        ...setup,
        maxTimeMs,
        guest: { ...setup.guest, dirtyBytesPerSecond },
        migrationRate: constantRate((payloadShare * dirtyBytesPerSecond) / dirtyShare),
      };
      const [baseline, own] = [simulate('precopy', at), simulate(engine, at)];
      return baseline.converged && own.converged
        ? [{ engine, dirtyShare, gain: baseline.totalTimeMs / own.totalTimeMs }]
        : [];
    });
  });
}
