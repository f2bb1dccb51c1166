/** What the gate compares, and how much of a change in it matters. */
import { bothLinksBytes, isTpsNotBack, tpsRecoveryMsOf, type RunRow } from '../record/run-row.ts';

export interface Metric {
  readonly name: string;
  readonly unit: string;
  /** Undefined: the run does not have it. Less is better in every metric. */
  readonly value: (row: RunRow) => number | undefined;
  /** Mean changes below this are what the measurement itself cannot tell (docs/report.md). In the metric's unit. */
  readonly noiseFloor: number;
  /** Smaller changes are of no interest, however certain they are. */
  readonly minimumChange: number;
}

const total = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? undefined : a + b;

/** Runs that failed a check or did not end in time say nothing of how long a migration takes. */
const ofCompleted =
  (value: Metric['value']): Metric['value'] =>
  (row) =>
    row.outcome === 'completed' ? value(row) : undefined;

export const metrics: readonly Metric[] = [
  // A run that did not end in time has no total time: without this, the gate would not see the worst regression.
  {
    name: 'unfinished',
    unit: 'share of runs',
    value: (row) => (row.outcome === 'not-converged' || row.outcome === 'failed' ? 1 : 0),
    noiseFloor: 0,
    minimumChange: 0.05,
  },
  // `completed` is polled every 100 ms, and ends of passes fall where they may.
  {
    name: 'total time',
    unit: 'ms',
    value: ofCompleted((row) => row.total_time_ms),
    noiseFloor: 200,
    minimumChange: 0.05,
  },
  // Pings are 5 ms apart; scheduling on a busy machine moves a switchover by some tens of ms.
  {
    name: 'downtime',
    unit: 'ms',
    value: ofCompleted((row) => row.downtime_client_ms ?? row.downtime_stop_resume_ms),
    noiseFloor: 25,
    minimumChange: 0.2,
  },
  {
    name: 'migration link bytes',
    unit: 'bytes',
    value: ofCompleted((row) => row.migration_link_bytes),
    noiseFloor: 2 ** 20,
    minimumChange: 0.05,
  },
  {
    name: 'bytes of both links',
    unit: 'bytes',
    value: ofCompleted(bothLinksBytes),
    noiseFloor: 2 ** 20,
    minimumChange: 0.05,
  },
  // sysbench reports each second.
  {
    name: 'TPS recovery',
    unit: 'ms',
    value: ofCompleted(tpsRecoveryMsOf),
    noiseFloor: 2000,
    minimumChange: 0.15,
  },
  // A run whose throughput never came back has no time until it did.
  {
    name: 'throughput not back',
    unit: 'share of runs',
    value: ofCompleted((row) => {
      const isNotBack = isTpsNotBack(row);
      return isNotBack === undefined ? undefined : Number(isNotBack);
    }),
    noiseFloor: 0,
    minimumChange: 0.05,
  },
  {
    name: 'engine CPU',
    unit: 'ms',
    value: ofCompleted((row) => total(row.engine_cpu_ms_src, row.engine_cpu_ms_dst)),
    noiseFloor: 100,
    minimumChange: 0.1,
  },
  // The source's QEMU is left out: under TCG most of what it takes is the guest's.
  {
    name: 'CPU per GiB',
    unit: 'ms per GiB of memory',
    value: ofCompleted((row) => {
      const { engine_cpu_ms_src: source, engine_cpu_ms_dst: destination } = row;
      // A method without engines has neither; of a run that has one of them, the other was not measured.
      const engines = source === undefined && destination === undefined ? 0 : total(source, destination);
      const cpuMs = total(engines, row.qemu_cpu_ms_dst);
      if (cpuMs === undefined || row.vm_memory_bytes === undefined) return undefined;
      return cpuMs / (row.vm_memory_bytes / 2 ** 30);
    }),
    noiseFloor: 200,
    minimumChange: 0.1,
  },
];
