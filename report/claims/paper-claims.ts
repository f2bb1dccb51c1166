/** The paper's claims: what is measured for each, and when it counts as holding. Pure. */
import { remainingBytes } from '../figures/paper-curves.ts';
import { typicalRun, valuesOf, type Cell } from '../record/cells.ts';
import type { Run } from '../record/read-set.ts';
import { bothLinksBytes, isTpsNotBack, linkRatesOf, ofMigrated, tpsRecoveryMsOf } from '../record/run-row.ts';
import type { ClaimId, MissingReason } from './claim-texts.ts';
import { mean } from '../statistics/spread.ts';
import { timeLimitMs } from './not-converged.ts';
import { both, bothCosts, eachOf, type Pair, type Value } from './paired-cells.ts';

/** Figures of the pairs that have what a claim needs, and whether it holds for them. */
interface Outcome {
  /** Number of pairs. */
  readonly pairs: number;
  /** Of the values that one cell of them has. */
  readonly fewest: number;
  readonly measured: string;
  readonly holds: boolean;
  /** Why there are no such pairs, if that is known. */
  readonly missing?: MissingReason | undefined;
}

interface Claim {
  /** Cells that the paper has. */
  readonly inPaper: number;
  readonly evaluate: (pairs: readonly Pair[]) => Outcome;
  /** Runs that did not converge do not have what is measured, so it is said which they are. */
  readonly ofConverged?: true;
}

/** "1.31 to 2.20", or one number where both are alike. */
function range(values: readonly number[], digits: number): string {
  const low = Math.min(...values).toFixed(digits);
  const high = Math.max(...values).toFixed(digits);
  return low === high ? low : `${low} … ${high}`;
}

const percent = (values: readonly number[]): string =>
  `${range(
    values.map((value) => 100 * value),
    0,
  )} %`;

/** Share of the link's configured rate that was used from the command to the end, headers included. */
const linkShare =
  (bytes: 'migration_link_bytes' | 'storage_link_bytes_dst', link: 'migration' | 'storage'): Value =>
  (row) => {
    const transferred = row[bytes];
    if (transferred === undefined || row.total_time_ms === undefined) return undefined;
    return (8 * transferred) / (row.total_time_ms / 1000) / linkRatesOf(row)[link];
  };

const bothLinksOfMigrated: Value = (row) => ofMigrated(row, bothLinksBytes(row));

/** Share of the total time for which the engine held the switchover back. */
function heldShare({ row, events }: Run): number | undefined {
  const ofEngine = events.filter((event) => event.event === 'engine');
  if (row.total_time_ms === undefined || ofEngine.length === 0) return undefined;
  const held = ofEngine
    .filter(({ name }) => name === 'gate-released')
    .map(({ fields }) => fields.held_ms ?? Number.NaN);
  return held.reduce((sum, heldMs) => sum + heldMs, 0) / row.total_time_ms;
}

/** What is to be sent once the list is known, relative to the VM's memory; without a list, at the start. */
function startShare(run: Run): number | undefined {
  if (run.row.vm_memory_bytes === undefined) return undefined;
  const listedMs = run.events.find((event) => event.event === 'engine' && event.name === 'listed')?.tMs;
  const start = remainingBytes(run).find(({ tMs }) => tMs >= (listedMs ?? 0));
  return start === undefined ? undefined : start.value / run.row.vm_memory_bytes;
}

/** A value of the run that stands for its cell, and how many of the cell's runs have it. */
function ofTypicalRun(cell: Cell, value: (run: Run) => number | undefined) {
  const run = typicalRun(cell);
  const typical = run && value(run);
  if (typical === undefined) return undefined;
  return { typical, count: cell.runs.filter((one) => value(one) !== undefined).length };
}

/** Of what the claim found in each pair, the fewest values that a cell has. */
const fewestOf = (found: readonly { readonly fewest: number }[]): number =>
  Math.min(...found.map(({ fewest }) => fewest));

/** Recoveries of a cell's runs; of runs whose throughput was not back when the load ended, what `notBackMs` says. */
function recoveriesOf({ runs }: Cell, notBackMs: (run: Run) => number): number[] {
  return runs.flatMap((run) =>
    isTpsNotBack(run.row) === true ? notBackMs(run) : (tpsRecoveryMsOf(run.row) ?? []),
  );
}

/** The last second of the load; without samples the end of the migration, which comes before it. */
const loadEndMs = ({ row, series }: Run): number =>
  series.get('client tps')?.at(-1)?.tMs ?? row.total_time_ms ?? 0;

/** "-1.5 … 12.0 s": of gains, of which one may be without bound. */
function gainsText(gains: readonly number[]): string {
  const [low, high] = [Math.min(...gains), Math.max(...gains)].map((gain) =>
    gain === -Infinity ? '−∞' : gain.toFixed(1),
  );
  return `${low === high ? (low ?? '') : `${low ?? ''} … ${high ?? ''}`} s`;
}

const mostOf = <Item>(items: readonly Item[], test: (item: Item) => boolean): boolean =>
  items.filter(test).length * 2 > items.length;

export const paperClaims: Readonly<Record<ClaimId, Claim>> = {
  'downtime-alike': {
    inPaper: 12,
    ofConverged: true,
    evaluate: (pairs) => {
      const found = bothCosts(pairs, (row) => row.downtime_stop_resume_ms);
      const differences = found.map(({ precopy, restore }) => restore - precopy).filter(Number.isFinite);
      return {
        pairs: found.length,
        fewest: fewestOf(found),
        measured: differences.length === 0 ? '' : `${range(differences, 0)} ms`,
        holds: found.every(
          ({ precopy, restore }) => Math.abs(restore - precopy) <= Math.max(100, 0.2 * precopy),
        ),
      };
    },
  },
  'total-time-shorter': {
    inPaper: 12,
    ofConverged: true,
    evaluate: (pairs) => {
      const found = bothCosts(pairs, (row) => row.total_time_ms, timeLimitMs);
      const speedUps = found.map(({ precopy, restore }) => precopy / restore);
      const finite = speedUps.filter((speedUp) => speedUp > 0);
      return {
        pairs: found.length,
        fewest: fewestOf(found),
        measured: finite.length === 0 ? '' : `${range(finite, 2)} ×`,
        holds: speedUps.every((speedUp) => speedUp >= 1.3),
      };
    },
  },
  'more-with-memory': {
    inPaper: 12,
    ofConverged: true,
    evaluate: (pairs) => {
      // Two gains of which each is so much at the least are in no order.
      const found = bothCosts(pairs, (row) => row.total_time_ms);
      const rows = [...new Set(found.map(({ scenario }) => scenario))]
        .map((scenario) => found.filter((pair) => pair.scenario === scenario))
        .filter((row) => row.length > 1)
        .map((row) => row.sort((a, b) => a.paperRowGib - b.paperRowGib));
      const speedUpsOf = (row: typeof found) => row.map(({ precopy, restore }) => precopy / restore);
      return {
        pairs: rows.flat().length,
        fewest: fewestOf(rows.flat()),
        measured: rows
          .map(
            (row) =>
              `${row[0]?.scenario ?? ''}: ${speedUpsOf(row)
                .map((speedUp) => (speedUp === 0 ? 'n/c' : speedUp.toFixed(2)))
                .join(' → ')}`,
          )
          .join('; '),
        holds: rows
          .map(speedUpsOf)
          .every((speedUps) => !speedUps.includes(0) && (speedUps.at(-1) ?? 0) > (speedUps[0] ?? 0)),
      };
    },
  },
  'migration-link-saturated': {
    inPaper: 12,
    ofConverged: true,
    evaluate: (pairs) => {
      const found = both(pairs, linkShare('migration_link_bytes', 'migration'));
      const shares = found.flatMap(({ precopy, restore }) => [precopy, restore]);
      return {
        pairs: found.length,
        fewest: fewestOf(found),
        measured: `pre-copy ${percent(found.map(({ precopy }) => precopy))}; restore ${percent(found.map(({ restore }) => restore))}`,
        holds: shares.every((share) => share >= 0.9),
      };
    },
  },
  'storage-link-used': {
    inPaper: 12,
    ofConverged: true,
    evaluate: (pairs) => {
      const found = both(pairs, linkShare('storage_link_bytes_dst', 'storage'));
      return {
        pairs: found.length,
        fewest: fewestOf(found),
        measured: `pre-copy ${percent(found.map(({ precopy }) => precopy))}; restore ${percent(found.map(({ restore }) => restore))}`,
        holds: found.every(({ precopy, restore }) => precopy < 0.05 && restore > 0.2),
      };
    },
  },
  'waits-for-storage': {
    inPaper: 12,
    ofConverged: true,
    evaluate: (pairs) => {
      const found = pairs.flatMap(({ restore }) => {
        const held = ofTypicalRun(restore, heldShare);
        return held === undefined ? [] : [{ share: held.typical, fewest: held.count }];
      });
      const shares = found.map(({ share }) => share);
      return {
        pairs: found.length,
        fewest: fewestOf(found),
        measured: percent(shares),
        holds: mostOf(shares, (share) => share >= 0.05),
      };
    },
  },
  'remaining-starts-lower': {
    inPaper: 12,
    evaluate: (pairs) => {
      const found = pairs.flatMap((pair) => {
        const precopy = ofTypicalRun(pair.precopy, startShare);
        const restore = ofTypicalRun(pair.restore, startShare);
        if (precopy === undefined || restore === undefined) return [];
        return [
          {
            share: restore.typical / precopy.typical,
            fewest: Math.min(precopy.count, restore.count),
          },
        ];
      });
      const shares = found.map(({ share }) => share);
      return {
        pairs: found.length,
        fewest: fewestOf(found),
        measured: percent(shares),
        holds: shares.every((share) => share <= 0.5),
      };
    },
  },
  'total-bytes-rise': {
    inPaper: 12,
    ofConverged: true,
    evaluate: (pairs) => {
      const found = both(pairs, bothLinksOfMigrated);
      const ratios = found.map(({ precopy, restore }) => restore / precopy);
      return {
        pairs: found.length,
        fewest: fewestOf(found),
        measured: `${range(ratios, 2)} ×`,
        holds: mostOf(ratios, (ratio) => ratio > 1),
      };
    },
  },
  'tps-drops': {
    inPaper: 8,
    evaluate: (pairs) => {
      const found = eachOf(pairs, (cell) =>
        valuesOf(cell, ({ tps_during: during, tps_before: before }) =>
          during === undefined || before === undefined || before === 0 ? undefined : during / before,
        ),
      );
      return {
        pairs: found.length,
        fewest: fewestOf(found),
        measured: `pre-copy ${percent(found.flatMap(({ precopy }) => precopy))}; restore ${percent(found.flatMap(({ restore }) => restore))}`,
        holds: found
          .flatMap(({ precopy, restore }) => [...precopy, ...restore])
          .every((share) => share < 0.95),
      };
    },
  },
  'recovers-sooner': {
    inPaper: 8,
    evaluate: (pairs) => {
      // A restore that never came back took longer than any pre-copy; a pre-copy, at least until its load ended.
      const found = eachOf(
        pairs,
        (precopy) => recoveriesOf(precopy, loadEndMs),
        (restore) => recoveriesOf(restore, () => Infinity),
      );
      const gains = found.map(({ precopy, restore }) => (Math.min(...precopy) - Math.max(...restore)) / 1000);
      return {
        pairs: found.length,
        fewest: fewestOf(found),
        measured: gainsText(gains),
        holds: gains.every((gain) => gain > 0),
        missing: pairs.some(({ precopy, restore }) =>
          [...precopy.runs, ...restore.runs].some(({ row }) => row.tps_recovery_measurable === false),
        )
          ? 'not-measurable'
          : undefined,
      };
    },
  },
  'sending-the-list-dominates': {
    inPaper: 12,
    evaluate: (pairs) => {
      const found = pairs.flatMap(({ restore }) => {
        const valuesOfStep = (step: 'send' | 'translate' | 'find' | 'map' | 'encode'): number[] =>
          valuesOf(restore, (row) => row[`list_${step}_ms`]);
        const [send, translate] = [valuesOfStep('send'), valuesOfStep('translate')];
        if (send.length === 0 || translate.length === 0) return [];
        const others = (['find', 'map', 'encode'] as const)
          .map(valuesOfStep)
          .filter((values) => values.length > 0)
          .map(mean);
        const fewest = Math.min(send.length, translate.length);
        return [{ send: mean(send), translate: mean(translate), others, fewest }];
      });
      const totalOf = ({ send, translate, others }: (typeof found)[number]): number =>
        others.reduce((sum, time) => sum + time, send + translate);
      return {
        pairs: found.length,
        fewest: fewestOf(found),
        measured: `${percent(found.map((times) => times.send / totalOf(times)))}; ${percent(found.map((times) => times.translate / totalOf(times)))}`,
        holds: found.every(
          ({ send, translate, others }) => send > translate && others.every((time) => translate > time),
        ),
      };
    },
  },
};
