import type { Point } from '../series.ts';

/** Below this share of what it was before, throughput has fallen. */
const recoveredShare = 0.9;
/** Throughput is back when it has been so for this long. */
const stayMs = 5000;
/** The chance to see a fall in a run without any. */
const falseAlarms = 0.05;
/** What throughput was before is not known from fewer. */
const minSecondsBefore = 10;
/** Where noise hides no complete stop of this length, that no fall was seen says that there was none. */
const tellableStopSeconds = 1;
const secondMs = 1000;

interface RecoveryInput {
  /** sysbench's transactions per second, sorted by time; each point is of the second that ends then. */
  readonly tps: readonly Point[];
  /** Where the seconds before the migration begin that `tpsBefore` is the mean of. */
  readonly beforeFromMs: number;
  readonly tpsBefore: number;
  /** The rate that sysbench was given; 0 is full speed. */
  readonly rateTps: number;
  readonly commandMs: number;
  /** When the migration ended. */
  readonly endMs: number;
}

export type TpsRecovery =
  /** Time from the migrate command until throughput was back; 0 if it never fell. */
  | { readonly kind: 'recovered'; readonly afterMs: number }
  /** Not within the record. */
  | { readonly kind: 'not-recovered' }
  /** No fall was seen, and noise would hide one. */
  | { readonly kind: 'within-noise' };

/**
 * A fall is a stretch in which more transactions are missing, against 90 % of what there was before, than noise explains: at a
 * rate of few transactions a second they arrive at random, and single seconds say nothing. Throughput is back at the end of the
 * last fall that began before the migration was over for 5 s, if no fall follows for 5 s.
 */
export function tpsRecovery(input: RecoveryInput): TpsRecovery {
  const { tps, commandMs, endMs } = input;
  const after = tps.filter(({ tMs }) => tMs > commandMs);
  const lastMs = after.at(-1)?.tMs;
  const noise = noiseOf(input, after.length);
  if (noise === undefined || lastMs === undefined) return { kind: 'within-noise' };
  const last = fallsIn(after, noise).reduce<Fall | undefined>(
    (before, fall) => (fall.fromMs < Math.max(before?.toMs ?? 0, endMs) + stayMs ? fall : before),
    undefined,
  );
  if (last === undefined) {
    const isTold = noise.missing < tellableStopSeconds * noise.low;
    return isTold ? { kind: 'recovered', afterMs: 0 } : { kind: 'within-noise' };
  }
  if (lastMs < Math.max(last.toMs, endMs) + stayMs) return { kind: 'not-recovered' };
  return { kind: 'recovered', afterMs: last.toMs - commandMs };
}

interface Noise {
  /** What a second is held against, in transactions. */
  readonly low: number;
  /** So many transactions are missing in a stretch by chance. */
  readonly missing: number;
}

/**
 * Sums of independent seconds with mean m and variance v, each less `low`, exceed h anywhere in n seconds with a probability of
 * about n exp(-2 (m - low) h / v) (the bound of Cramér and Lundberg).
 */
function noiseOf(input: RecoveryInput, secondsAfter: number): Noise | undefined {
  const { tps, beforeFromMs, commandMs, tpsBefore, rateTps } = input;
  const before = tps.filter(({ tMs }) => tMs >= beforeFromMs && tMs < commandMs);
  if (before.length < minSecondsBefore) return undefined;
  const squares = before.reduce((sum, { value }) => sum + (value - tpsBefore) ** 2, 0);
  // Arrivals at a given rate are a Poisson process, however calm the seconds before were, or busy with a backlog.
  const variance = Math.max(squares / (before.length - 1), rateTps > 0 ? tpsBefore : 0);
  const usual = rateTps > 0 ? Math.min(tpsBefore, rateTps) : tpsBefore;
  const errorOfMean = Math.sqrt(variance / before.length);
  const low = Math.min(recoveredShare * usual, tpsBefore - 2 * errorOfMean);
  if (low <= 0) return undefined;
  return { low, missing: (variance * Math.log(secondsAfter / falseAlarms)) / (2 * (usual - low)) };
}

interface Fall {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Stretches in which more is missing than by chance, each to where most was. */
function fallsIn(seconds: readonly Point[], { low, missing }: Noise): Fall[] {
  const falls: Fall[] = [];
  let [sum, most, fromMs, toMs] = [0, 0, 0, 0];
  const close = (): void => {
    if (most > missing) falls.push({ fromMs, toMs });
    [sum, most] = [0, 0];
  };
  for (const { tMs, value } of seconds) {
    if (sum === 0) fromMs = tMs - secondMs;
    sum += low - value;
    if (sum > most) [most, toMs] = [sum, tMs];
    else if (sum <= 0 || most - sum > missing) close();
  }
  close();
  return falls;
}
