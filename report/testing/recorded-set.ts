/** Figures of committed sets (results/), without samples, and sets made of them, for tests of statistics. */
import path from 'node:path';
import { readSet, type Run, type RunSet } from '../record/read-set.ts';
import type { RunRow } from '../record/run-row.ts';
import type { Random } from '../statistics/seeded-random.ts';
import { mean } from '../statistics/spread.ts';

const results = path.join(import.meta.dirname, '..', '..', 'results');

export type Figures = Pick<RunSet, 'runs'>;

export async function recordedSet(name: string): Promise<Figures> {
  return readSet([path.join(results, name)], { withoutSamples: true });
}

/** The runs of a set, cell by cell. */
function cellsOfSet({ runs }: Figures): Run[][] {
  return [...Map.groupBy(runs, ({ row }) => `${row.scenario} ${row.paper_row_gib} ${row.engine}`).values()];
}

/** What the gate's metrics are made of. */
const columns = [
  'total_time_ms',
  'downtime_client_ms',
  'downtime_stop_resume_ms',
  'migration_link_bytes',
  'storage_link_bytes_dst',
  'tps_recovery_ms',
  'engine_cpu_ms_src',
  'engine_cpu_ms_dst',
  'qemu_cpu_ms_dst',
] as const satisfies readonly (keyof RunRow)[];

/**
 * So many repeats of every cell, each drawn from those that were measured. All figures of a repeat are of one run; their
 * distance from the cell's mean is stretched so that few repeats vary, on average, as the many do that they stand for.
 */
export function drawnSet(set: Figures, repeats: number, random: Random): Figures {
  const runs = cellsOfSet(set).flatMap((measured) => {
    const stretch = Math.sqrt(measured.length / (measured.length - 1));
    const middle = (column: (typeof columns)[number]): number =>
      mean(measured.flatMap(({ row }) => row[column] ?? []));
    const middles = new Map(columns.map((column) => [column, middle(column)]));
    return Array.from({ length: repeats }, (_, index) =>
      measured
        .slice(Math.floor(random() * measured.length))
        .slice(0, 1)
        .map((run): Run => {
          const stretched = columns.flatMap((column) => {
            const value = run.row[column];
            const center = middles.get(column) ?? 0;
            return value === undefined
              ? []
              : [[column, Math.max(0, center + stretch * (value - center))] as const];
          });
          return { ...run, row: { ...run.row, ...Object.fromEntries(stretched), repeat: index + 1 } };
        }),
    ).flat();
  });
  return { runs };
}

/** The same runs with their total times multiplied. */
export function slowedDown({ runs }: Figures, factor: number): Figures {
  return {
    runs: runs.map((run) => {
      const { total_time_ms: totalTimeMs } = run.row;
      return {
        ...run,
        row: { ...run.row, total_time_ms: totalTimeMs === undefined ? undefined : factor * totalTimeMs },
      };
    }),
  };
}

/**
 * Every way to deal the repeats of a set out to two builds, `baseRepeats` of each cell to the first. Cells of one load and
 * memory row are dealt out alike: engines are judged one by one, and so each sees all of its ways.
 */
export function splitsOf({ runs }: Figures, baseRepeats: number): { base: Figures; next: Figures }[] {
  const rows = [...Map.groupBy(runs, ({ row }) => `${row.scenario} ${row.paper_row_gib}`).values()];
  let splits: { base: Run[]; next: Run[] }[] = [{ base: [], next: [] }];
  for (const ofRow of rows) {
    const repeats = [...new Set(ofRow.map(({ row }) => row.repeat))];
    const ways = subsets(repeats, baseRepeats);
    splits = splits.flatMap(({ base, next }) =>
      ways.map((chosen) => ({
        base: [...base, ...ofRow.filter(({ row }) => chosen.includes(row.repeat))],
        next: [...next, ...ofRow.filter(({ row }) => !chosen.includes(row.repeat))],
      })),
    );
  }
  return splits.map(({ base, next }) => ({ base: { runs: base }, next: { runs: next } }));
}

function subsets(items: readonly number[], count: number): number[][] {
  if (count === 0) return [[]];
  return items.flatMap((item, index) =>
    subsets(items.slice(index + 1), count - 1).map((others) => [item, ...others]),
  );
}
