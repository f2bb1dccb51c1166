/** The paper's claims: what is measured for each, and when it counts as holding. Pure. */
import { remainingBytes } from '../figures/paper-curves.ts';
import { typicalRun, type Cell } from '../record/cells.ts';
import type { Run } from '../record/read-set.ts';
import { isTpsNotBack, linkRatesOf, tpsRecoveryMsOf } from '../record/run-row.ts';
import type { ClaimId, MissingReason } from './claim-texts.ts';
import { both, eachOf, meanOf, type Pair, type Value } from './paired-cells.ts';

/** Figures of the pairs that have what a claim needs, and whether it holds for them. */
interface Outcome {
  /** Number of pairs. */
  readonly pairs: number;
  readonly measured: string;
  readonly holds: boolean;
  /** Why there are no such pairs, if that is known. */
  readonly missing?: MissingReason | undefined;
}

interface Claim {
  /** Cells that the paper has. */
  readonly inPaper: number;
  readonly evaluate: (pairs: readonly Pair[]) => Outcome;
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

const bothLinksBytes: Value = (row) =>
  row.migration_link_bytes === undefined || row.storage_link_bytes_dst === undefined
    ? undefined
    : row.migration_link_bytes + row.storage_link_bytes_dst;

/** Share of the total time for which the engine held the switchover back, in the run that stands for the cell. */
function heldShare(cell: Cell): number | undefined {
  const run = typicalRun(cell);
  const totalMs = run?.row.total_time_ms;
  if (run === undefined || totalMs === undefined) return undefined;
  const events = run.events.filter((event) => event.event === 'engine');
  if (events.length === 0) return undefined;
  const held = events
    .filter(({ name }) => name === 'gate-released')
    .map(({ fields }) => fields.held_ms ?? Number.NaN);
  return held.reduce((sum, heldMs) => sum + heldMs, 0) / totalMs;
}

/** What is to be sent once the list is known, relative to the VM's memory; without a list, at the start. */
function startShare(cell: Cell): number | undefined {
  const run = typicalRun(cell);
  if (run?.row.vm_memory_bytes === undefined) return undefined;
  const listedMs = run.events.find((event) => event.event === 'engine' && event.name === 'listed')?.tMs;
  const start = remainingBytes(run).find(({ tMs }) => tMs >= (listedMs ?? 0));
  return start === undefined ? undefined : start.value / run.row.vm_memory_bytes;
}

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
    evaluate: (pairs) => {
      const found = both(pairs, (row) => row.downtime_stop_resume_ms);
      const differences = found.map(({ precopy, restore }) => restore - precopy);
      return {
        pairs: found.length,
        measured: `${range(differences, 0)} ms`,
        holds: found.every(
          ({ precopy, restore }) => Math.abs(restore - precopy) <= Math.max(100, 0.2 * precopy),
        ),
      };
    },
  },
  'total-time-shorter': {
    inPaper: 12,
    evaluate: (pairs) => {
      const speedUps = both(pairs, (row) => row.total_time_ms).map(
        ({ precopy, restore }) => precopy / restore,
      );
      return {
        pairs: speedUps.length,
        measured: `${range(speedUps, 2)} ×`,
        holds: speedUps.every((speedUp) => speedUp >= 1.3),
      };
    },
  },
  'more-with-memory': {
    inPaper: 12,
    evaluate: (pairs) => {
      const found = both(pairs, (row) => row.total_time_ms);
      const rows = [...new Set(found.map(({ scenario }) => scenario))]
        .map((scenario) => found.filter((pair) => pair.scenario === scenario))
        .filter((row) => row.length > 1)
        .map((row) => row.sort((a, b) => a.paperRowGib - b.paperRowGib));
      const speedUpsOf = (row: typeof found) => row.map(({ precopy, restore }) => precopy / restore);
      return {
        pairs: rows.flat().length,
        measured: rows
          .map(
            (row) =>
              `${row[0]?.scenario ?? ''}: ${speedUpsOf(row)
                .map((speedUp) => speedUp.toFixed(2))
                .join(' → ')}`,
          )
          .join('; '),
        holds: rows.map(speedUpsOf).every((speedUps) => (speedUps.at(-1) ?? 0) > (speedUps[0] ?? 0)),
      };
    },
  },
  'migration-link-saturated': {
    inPaper: 12,
    evaluate: (pairs) => {
      const found = both(pairs, linkShare('migration_link_bytes', 'migration'));
      const shares = found.flatMap(({ precopy, restore }) => [precopy, restore]);
      return {
        pairs: found.length,
        measured: `pre-copy ${percent(found.map(({ precopy }) => precopy))}; restore ${percent(found.map(({ restore }) => restore))}`,
        holds: shares.every((share) => share >= 0.9),
      };
    },
  },
  'storage-link-used': {
    inPaper: 12,
    evaluate: (pairs) => {
      const found = both(pairs, linkShare('storage_link_bytes_dst', 'storage'));
      return {
        pairs: found.length,
        measured: `pre-copy ${percent(found.map(({ precopy }) => precopy))}; restore ${percent(found.map(({ restore }) => restore))}`,
        holds: found.every(({ precopy, restore }) => precopy < 0.05 && restore > 0.2),
      };
    },
  },
  'waits-for-storage': {
    inPaper: 12,
    evaluate: (pairs) => {
      const shares = pairs.flatMap(({ restore }) => heldShare(restore) ?? []);
      return {
        pairs: shares.length,
        measured: percent(shares),
        holds: mostOf(shares, (share) => share >= 0.05),
      };
    },
  },
  'remaining-starts-lower': {
    inPaper: 12,
    evaluate: (pairs) => {
      const found = pairs.flatMap((pair) => {
        const precopy = startShare(pair.precopy);
        const restore = startShare(pair.restore);
        return precopy === undefined || restore === undefined ? [] : [restore / precopy];
      });
      return { pairs: found.length, measured: percent(found), holds: found.every((share) => share <= 0.5) };
    },
  },
  'total-bytes-rise': {
    inPaper: 12,
    evaluate: (pairs) => {
      const ratios = both(pairs, bothLinksBytes).map(({ precopy, restore }) => restore / precopy);
      return {
        pairs: ratios.length,
        measured: `${range(ratios, 2)} ×`,
        holds: mostOf(ratios, (ratio) => ratio > 1),
      };
    },
  },
  'tps-drops': {
    inPaper: 8,
    evaluate: (pairs) => {
      const found = eachOf(pairs, ({ tps_during: during, tps_before: before }) =>
        during === undefined || before === undefined || before === 0 ? undefined : during / before,
      );
      return {
        pairs: found.length,
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
      const found = pairs
        .map(({ precopy, restore }) => ({
          precopy: recoveriesOf(precopy, loadEndMs),
          restore: recoveriesOf(restore, () => Infinity),
        }))
        .filter(({ precopy, restore }) => precopy.length > 0 && restore.length > 0);
      const gains = found.map(({ precopy, restore }) => (Math.min(...precopy) - Math.max(...restore)) / 1000);
      return {
        pairs: found.length,
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
        const send = meanOf(restore, (row) => row.list_send_ms);
        const translate = meanOf(restore, (row) => row.list_translate_ms);
        const others = [
          meanOf(restore, (row) => row.list_find_ms),
          meanOf(restore, (row) => row.list_map_ms),
          meanOf(restore, (row) => row.list_encode_ms),
        ].filter((time) => time !== undefined);
        return send === undefined || translate === undefined ? [] : [{ send, translate, others }];
      });
      const totalOf = ({ send, translate, others }: (typeof found)[number]): number =>
        others.reduce((sum, time) => sum + time, send + translate);
      return {
        pairs: found.length,
        measured: `${percent(found.map((times) => times.send / totalOf(times)))}; ${percent(found.map((times) => times.translate / totalOf(times)))}`,
        holds: found.every(
          ({ send, translate, others }) => send > translate && others.every((time) => translate > time),
        ),
      };
    },
  },
};
