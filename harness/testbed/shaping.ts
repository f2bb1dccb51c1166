/** Rates of links, as `tc` sets them. Pure. */

/**
 * Arguments of `tc qdisc` that shape an interface. A bucket of 4 ms keeps a slow timer from costing throughput, and one
 * below 64 KiB drops segments of the size that the kernel hands over.
 */
export function shapingArguments(rateBitsPerSecond: number | undefined): readonly string[] {
  if (rateBitsPerSecond === undefined) return ['pfifo_fast'];
  const burstBytes = Math.max(
    65_536,
    Math.round((rateBitsPerSecond / 8) * 0.002),
    Math.min(262_144, Math.round((rateBitsPerSecond / 8) * 0.004)),
  );
  return ['tbf', 'rate', `${rateBitsPerSecond}bit`, 'burst', `${burstBytes}`, 'latency', '20ms'];
}
