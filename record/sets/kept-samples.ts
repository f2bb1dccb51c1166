/** Which samples of its runs a committed set keeps: those that numbers, figures and predictions are made from. Pure. */
import { type ClockCorrection, clockCorrection } from '../clock-correction.ts';
import { timelineOf } from '../derive/timeline.ts';
import type { ClockName, RunEvent, Sample } from '../event.ts';
import { onOneClock } from '../read-run.ts';

/** Of the load. */
const loadMetrics: ReadonlySet<string> = new Set([
  'tps',
  'offered_tps',
  'queued_transactions',
  'latency_p95_ms',
  'latency_ms',
  'latency_transactions',
  'errors_per_second',
  'reconnects_per_second',
  'guest_clock_offset_ms',
  'guest_clock_uncertainty_ms',
  'ledger_unknown',
]);

/** Of the VM hosts, reported once a second or seldom. */
const isSeldom = ({ host, metric }: Sample): boolean =>
  (host === 'src' || host === 'dst') && /^(cpu_percent|downtime_limit_ms|process_cpu_ms:.+)$/.test(metric);

/** QEMU knows it once a pass has ended; medians are of all samples from then on. */
const isDirtyRate = ({ metric, value }: Sample): boolean => metric === 'dirty_pages_per_second' && value > 0;

/** Tables have its greatest. */
const peakMetric = 'engine_rss_bytes';

/** Reported five or ten times a second. */
const oftenMetrics: Partial<Record<ClockName, ReadonlySet<string>>> = {
  src: new Set([
    'nic_out_bytes:migration',
    'nic_out_bytes:service',
    'nic_in_bytes:storage',
    'nic_out_bytes:storage',
    'ram_total_bytes',
    'ram_remaining_bytes',
    'ram_transferred_bytes',
    'ram_zero_pages',
    'ram_normal_pages',
    'dirty_sync_count',
    peakMetric,
    'engine_pages_left_out',
    'engine_pages_sent_after_all',
    'engine_compression_ratio',
    'engine_migration_link_bytes',
  ]),
  dst: new Set([
    'nic_in_bytes:storage',
    'nic_out_bytes:storage',
    peakMetric,
    'engine_pages_restored',
    'engine_storage_link_bytes',
  ]),
};

const apartMs = 1000;
/** Figures show 5 s before a migration and after it. */
const marginMs = 6000;

/** Times that numbers are taken at, on the harness's clock; an end that is not known comes after all. None without a migration. */
export function momentsOf(rawEvents: readonly RunEvent[]): readonly number[] {
  const { events } = onOneClock(rawEvents, []);
  const timeline = timelineOf(events);
  if (timeline === undefined) return [];
  const { commandMs, stopMs, resumeMs, ended } = timeline;
  const known = [commandMs, stopMs, resumeMs].filter((moment) => moment !== undefined);
  // What is left to send is told from then on.
  const listed = events.filter((event) => event.event === 'engine' && event.name === 'listed');
  return [...known, ended?.atMs ?? Number.POSITIVE_INFINITY, ...listed.map(({ at_ms }) => at_ms)];
}

/**
 * Exactly as they were recorded. Of the load all seconds; of the hosts what is around the migration, and of what was reported
 * more often than once a second a sample each second and those next to a moment.
 * @param rawSamples of the run; those of one series in the order in which they were recorded
 * @param moments of all VMs of the run
 */
export function keptSamples(
  rawSamples: readonly Sample[],
  rawEvents: readonly RunEvent[],
  moments: readonly number[],
): Sample[] {
  const correct = clockCorrection(rawEvents);
  const fromMs = Math.min(...moments) - marginMs;
  const toMs = Math.max(...moments) + marginMs;
  const isAround = ({ host, at_ms }: Sample): boolean => {
    const tMs = correct(host, at_ms);
    return moments.length === 0 || (tMs >= fromMs && tMs <= toMs);
  };
  const whole = rawSamples.filter((sample) =>
    sample.host === 'client'
      ? loadMetrics.has(sample.metric)
      : (isSeldom(sample) || isDirtyRate(sample)) && isAround(sample),
  );
  const often = rawSamples.filter(
    (sample) => oftenMetrics[sample.host]?.has(sample.metric) === true && isAround(sample),
  );
  const series = Map.groupBy(often, ({ host, metric }) => `${host} ${metric}`);
  return [...whole, ...[...series.values()].flatMap((ofSeries) => thinned(ofSeries, correct, moments))];
}

function thinned(samples: readonly Sample[], correct: ClockCorrection, moments: readonly number[]): Sample[] {
  const times = samples.map(({ host, at_ms }) => correct(host, at_ms));
  const peak = samples.reduce<Sample | undefined>(
    (greatest, sample) => (sample.value > (greatest?.value ?? 0) ? sample : greatest),
    undefined,
  );
  let keptMs = Number.NEGATIVE_INFINITY;
  return samples.filter((sample, index) => {
    const [beforeMs = Number.NEGATIVE_INFINITY, tMs = 0] = [times[index - 1], times[index]];
    const nextMs = times[index + 1];
    const isNext = moments.some(
      (moment) =>
        (beforeMs < moment && moment <= tMs) || (nextMs !== undefined && tMs <= moment && moment < nextMs),
    );
    const isPeak = sample.metric === peakMetric && sample === peak;
    const isKept = isNext || isPeak || nextMs === undefined || tMs - keptMs >= apartMs;
    if (isKept) keptMs = tMs;
    return isKept;
  });
}
