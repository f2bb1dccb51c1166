/** How far a host's clock is from ours, from round trips (as NTP does it, RFC 5905 section 8). Pure. */

export interface RoundTrip {
  /** Our clock when the question left. */
  readonly sentMs: number;
  /** The host's clock when it answered. */
  readonly hostMs: number;
  /** Our clock when the answer came. */
  readonly receivedMs: number;
}

export interface ClockOffset {
  /** The host's clock minus ours. */
  readonly offsetMs: number;
  /** The true offset is within ± this of `offsetMs`: half the round trip. */
  readonly uncertaintyMs: number;
}

/** Takes the quickest round trip: queueing only ever adds time, so that one bounds the offset most tightly. */
export function estimateOffset(roundTrips: readonly [RoundTrip, ...RoundTrip[]]): ClockOffset {
  const best = roundTrips.reduce((a, b) => (duration(b) < duration(a) ? b : a));
  return {
    offsetMs: best.hostMs - (best.sentMs + best.receivedMs) / 2,
    uncertaintyMs: duration(best) / 2,
  };
}

function duration(roundTrip: RoundTrip): number {
  return roundTrip.receivedMs - roundTrip.sentMs;
}
