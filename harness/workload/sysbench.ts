/** sysbench 1.0.20: its arguments and its output. Pure; the `lines` probe runs it. */
import type { DatabaseServer } from './database-server.ts';

export interface SysbenchOptions {
  readonly workload: 'oltp_read_only' | 'oltp_read_write';
  readonly server: DatabaseServer;
  readonly tables: number;
  readonly rowsPerTable: number;
  readonly threads: number;
  /** Transactions per second that it aims at; 0 is as many as possible. */
  readonly rateTps: number;
  readonly timeSeconds: number;
  readonly seed: number;
}

/** The command with its arguments, one report line a second. */
export function sysbenchCommand(options: SysbenchOptions): [file: string, ...args: string[]] {
  const { server } = options;
  return [
    'sysbench',
    options.workload,
    '--db-driver=mysql',
    `--mysql-host=${server.host}`,
    `--mysql-port=${server.port}`,
    `--mysql-user=${server.user}`,
    `--mysql-password=${server.password}`,
    '--mysql-db=sbtest',
    // Debian 13's client library asks for TLS with a trusted certificate otherwise.
    '--mysql-ssl=off',
    `--tables=${options.tables}`,
    `--table-size=${options.rowsPerTable}`,
    `--threads=${options.threads}`,
    `--rate=${options.rateTps}`,
    `--time=${options.timeSeconds}`,
    `--rand-seed=${options.seed}`,
    '--report-interval=1',
    '--histogram=off',
    'run',
  ];
}

/** One second of load, as a report line gives it. */
export interface SysbenchInterval {
  /** Seconds since sysbench began. */
  readonly second: number;
  readonly threads: number;
  readonly tps: number;
  readonly qps: number;
  readonly readQps: number;
  readonly writeQps: number;
  /** 95th percentile. */
  readonly latencyMs: number;
  readonly errorsPerSecond: number;
  readonly reconnectsPerSecond: number;
}

const number = '([\\d.]+)';
const intervalLine = new RegExp(
  `^\\[ ${number}s \\] thds: ${number} tps: ${number} qps: ${number} ` +
    `\\(r/w/o: ${number}/${number}/${number}\\) lat \\(ms,95%\\): ${number} err/s: ${number} reconn/s: ${number}$`,
);

/** Undefined for a line that is not a report line. */
export function parseInterval(line: string): SysbenchInterval | undefined {
  const match = intervalLine.exec(line.trimEnd());
  if (match === null) return undefined;
  const field = (index: number): number => Number(match[index]);
  return {
    second: field(1),
    threads: field(2),
    tps: field(3),
    qps: field(4),
    readQps: field(5),
    writeQps: field(6),
    latencyMs: field(8),
    errorsPerSecond: field(9),
    reconnectsPerSecond: field(10),
  };
}

/** Figures of the whole run, printed at its end. */
export interface SysbenchSummary {
  readonly totalTimeSeconds: number;
  readonly transactions: number;
  readonly queries: number;
  readonly ignoredErrors: number;
  readonly reconnects: number;
  readonly latencyAverageMs: number;
  readonly latencyMaximumMs: number;
  /** 95th percentile. */
  readonly latencyMs: number;
}

const summaryLines: Readonly<Record<keyof SysbenchSummary, RegExp>> = {
  totalTimeSeconds: /^ {4}total time: +([\d.]+)s$/,
  transactions: /^ {4}transactions: +(\d+) /,
  queries: /^ {4}queries: +(\d+) /,
  ignoredErrors: /^ {4}ignored errors: +(\d+) /,
  reconnects: /^ {4}reconnects: +(\d+) /,
  latencyAverageMs: /^ +avg: +([\d.]+)$/,
  latencyMaximumMs: /^ +max: +([\d.]+)$/,
  latencyMs: /^ +95th percentile: +([\d.]+)$/,
};
const summaryNames = Object.keys(summaryLines) as (keyof SysbenchSummary)[];

/** Reads sysbench's output line by line. */
export class SysbenchOutput {
  readonly #figures: Partial<Record<keyof SysbenchSummary, number>> = {};

  /** Takes the next line; returns the second that it reports, if it is a report line. */
  push(line: string): SysbenchInterval | undefined {
    const interval = parseInterval(line);
    if (interval !== undefined) return interval;
    for (const name of summaryNames) {
      const match = summaryLines[name].exec(line.trimEnd());
      if (match !== null) this.#figures[name] = Number(match[1]);
    }
    return undefined;
  }

  /** The summary, once all of its figures were read. A run that was ended early prints none. */
  get summary(): SysbenchSummary | undefined {
    return summaryNames.every((name) => this.#figures[name] !== undefined)
      ? (this.#figures as SysbenchSummary)
      : undefined;
  }
}
