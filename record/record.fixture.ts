/** A synthetic run for tests: a manifest and the means to write down what happened in it. */
import type { RunEvent, Sample, ClockName } from './event.ts';
import type { Manifest } from './manifest.ts';

export const manifest: Manifest = {
  format: 1,
  runId: '2026-01-02T030405-rw-16-precopy-1',
  startedAt: '2026-01-02T03:04:05.000Z',
  repeat: 1,
  configuration: {
    scenario: 'rw',
    paperRowGib: 16,
    engine: 'precopy',
    testbed: 'local',
    profile: 'lab',
    scale: 8,
    dbms: 'mariadb',
    linkBitsPerSecond: 125_000_000,
    storageLinkBitsPerSecond: 125_000_000,
    serviceLinkBitsPerSecond: 125_000_000,
    vmMemoryBytes: 2 ** 31,
    bufferPoolAskedBytes: 1.6 * 2 ** 30,
    bufferPoolBytes: 1.5 * 2 ** 30,
    poolInUseAskedBytes: 1.4 * 2 ** 30,
    tableDataBytes: 1.4 * 2 ** 30,
    threads: 2,
    rateTps: 8,
    downtimeLimitMs: 300,
    beforeSeconds: 30,
    afterSeconds: 60,
    maxTimeSeconds: 600,
    seed: 1,
    verifyRam: false,
  },
  accelerator: { name: 'tcg', reason: 'KVM did not boot the guest kernel' },
  goodputBytesPerSecond: { migration: 15_000_000, storage: 10_000_000 },
  poolInUseReachedBytes: 1.3 * 2 ** 30,
  revision: { commit: '0123456789abcdef', dirty: false },
  versions: { qemu: '10.0.13', node: 'v24.21.0' },
  machine: { cpuModel: 'x', cores: 2, memoryBytes: 2 ** 34, kernel: '6.1', distribution: 'Debian' },
};

export const qmp = (
  at_ms: number,
  host: ClockName,
  name: string,
  data: Record<string, unknown> = {},
): RunEvent => ({
  event: 'qmp',
  at_ms,
  host,
  name,
  data,
  delay_ms: 0,
});

export const command = (at_ms: number): RunEvent => ({
  event: 'migrate-command',
  at_ms,
  host: 'harness',
  uri: 'tcp:10.10.0.2:4444',
});

export const status = (
  at_ms: number,
  name: string,
  figures: Record<string, number> = {},
  host: ClockName = 'src',
): RunEvent => ({ event: 'migration-status', at_ms, host, status: name, figures });

export const gap = (at_ms: number, probe: 'ping' | 'heartbeat', gap_ms: number, open = false): RunEvent => ({
  event: 'probe-gap',
  at_ms,
  host: 'client',
  probe,
  gap_ms,
  open,
});

/** Samples of one metric at equal distances. */
export const every = (
  intervalMs: number,
  fromMs: number,
  host: ClockName,
  metric: string,
  values: readonly number[],
): Sample[] => values.map((value, index) => ({ at_ms: fromMs + index * intervalMs, host, metric, value }));

export const restarted = (
  at_ms: number,
  phase: Extract<RunEvent, { event: 'restart' }>['phase'],
  host: ClockName = 'harness',
): RunEvent => ({ event: 'restart', at_ms, host, phase });

export const connected = (at_ms: number, probe: string): RunEvent => ({
  event: 'connection',
  at_ms,
  host: 'client',
  probe,
  state: 'connected',
  detail: '',
});
