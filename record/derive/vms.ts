/** What a row says of VMs that were moved at once: the time of all of them, and each one's part of the links. Pure. */
import { engines } from '../../experiments/engines.ts';
import type { ClockName } from '../event.ts';
import type { RunRecord } from '../read-run.ts';
import type { RunRow } from '../run-columns.ts';
import { processIncrease, seriesOf } from '../series.ts';
import { endOf, engineFigure, finalFigures } from './summary.ts';
import { timelineOf } from './timeline.ts';

/** Counters of what was moved for one VM alone, without headers. */
interface Counter {
  readonly host: ClockName;
  readonly metric: string;
}

function countersOf({ manifest }: RunRecord): { readonly migration: Counter; readonly storage?: Counter } {
  return engines[manifest.configuration.engine].kind === 'poolshift'
    ? {
        migration: { host: 'src', metric: 'engine_migration_link_bytes' },
        storage: { host: 'dst', metric: 'engine_storage_link_bytes' },
      }
    : { migration: { host: 'src', metric: 'ram_transferred_bytes' } };
}

interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/** From the command to the end; undefined where one of them is not known. */
function spanOf({ manifest, events }: RunRecord): Span | undefined {
  const timeline = timelineOf(events);
  const endMs = endOf(timeline, manifest.configuration.verifyRam);
  return timeline === undefined || endMs === undefined
    ? undefined
    : { fromMs: timeline.commandMs, toMs: endMs };
}

/** Empty for a run of one VM. @param others the records of the run's other VMs */
export function vmColumns(record: RunRecord, others: readonly RunRecord[]): RunRow {
  const { vms } = record.manifest.configuration;
  if (vms === undefined) return {};
  const all = [record, ...others];
  const spans = all.length < vms ? [undefined] : all.map(spanOf);
  const known = spans.filter((span) => span !== undefined);
  const isKnown = known.length === spans.length;
  const first = Math.min(...known.map(({ fromMs }) => fromMs));
  const last = Math.max(...known.map(({ toMs }) => toMs));
  const together = {
    fromMs: Math.max(...known.map(({ fromMs }) => fromMs)),
    toMs: Math.min(...known.map(({ toMs }) => toMs)),
  };
  const share = (link: 'migration' | 'storage'): number | undefined =>
    isKnown ? shareOf(all, link, together) : undefined;
  return {
    vms,
    vm: record.manifest.vm ?? 0,
    vms_total_time_ms: isKnown ? last - first : undefined,
    ...ownBytes(record),
    migration_link_share: share('migration'),
    storage_link_share: share('storage'),
  };
}

function ownBytes({ manifest, events }: RunRecord) {
  const isOurs = engines[manifest.configuration.engine].kind === 'poolshift';
  return {
    vm_migration_link_bytes: isOurs
      ? engineFigure(events, 'src', 'migration_link_bytes')
      : finalFigures(events)['ram.transferred'],
    vm_storage_link_bytes: isOurs ? engineFigure(events, 'dst', 'storage_link_bytes') : undefined,
  };
}

/** The first record's part of what all of them count in that time. */
function shareOf(
  records: readonly RunRecord[],
  link: 'migration' | 'storage',
  { fromMs, toMs }: Span,
): number | undefined {
  const parts = records.map((record) => {
    const counter = countersOf(record)[link];
    if (counter === undefined) return undefined;
    return processIncrease(seriesOf(record.samples, counter.host, counter.metric), fromMs, toMs);
  });
  const known = parts.filter((part) => part !== undefined);
  const total = known.reduce((sum, part) => sum + part, 0);
  return known.length < parts.length || total === 0 ? undefined : (parts[0] ?? 0) / total;
}
