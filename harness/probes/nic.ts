/**
 * Byte counters of network interfaces. From /proc/net/dev and not from /sys/class/net: one read takes all counters at
 * once, and the file always shows the reader's own network namespace, whereas a container's /sys may be the outer one.
 */
import { readFileSync } from 'node:fs';
import type { Emit, Probe, ProbeConfig } from './report.ts';
import { nowMs } from './wall-clock.ts';

interface InterfaceCounters {
  readonly inBytes: number;
  readonly outBytes: number;
}

/** Parses /proc/net/dev (net/core/net-procfs.c): two header lines, then `name: 8 receive fields, 8 transmit fields`. */
export function parseNetDev(text: string): Map<string, InterfaceCounters> {
  const counters = new Map<string, InterfaceCounters>();
  for (const line of text.split('\n').slice(2)) {
    const colon = line.lastIndexOf(':');
    if (colon < 0) continue;
    const fields = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/);
    counters.set(line.slice(0, colon).trim(), { inBytes: Number(fields[0]), outBytes: Number(fields[8]) });
  }
  return counters;
}

export function startNic(config: Extract<ProbeConfig, { probe: 'nic' }>, emit: Emit): Probe {
  const tick = (): void => {
    const at = nowMs();
    const counters = parseNetDev(readFileSync('/proc/net/dev', 'utf8'));
    const networks: Record<string, InterfaceCounters> = {};
    for (const [network, name] of Object.entries(config.interfaces)) {
      const found = counters.get(name);
      if (found !== undefined) networks[network] = found;
    }
    emit({ report: 'nic', at, networks });
  };
  const missing = Object.values(config.interfaces).filter(
    (name) => !parseNetDev(readFileSync('/proc/net/dev', 'utf8')).has(name),
  );
  if (missing.length > 0) {
    emit({
      report: 'failed',
      at: nowMs(),
      probe: 'nic',
      message: `no such interface: ${missing.join(', ')}`,
    });
  }
  tick();
  const timer = setInterval(tick, config.intervalMs ?? 200);
  return {
    stop: () => {
      clearInterval(timer);
      tick();
      return Promise.resolve();
    },
  };
}
