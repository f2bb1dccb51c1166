/** sysbench 1.0.20: its arguments, and what our script in it says (lua/account.lua). Pure; the `lines` probe runs it. */
import { z } from 'zod';
import type { Latency } from '../../record/latency.ts';
import { type DatabaseServer, postgresqlDatabase } from './database-server.ts';

/** What the load finds in the database. */
export type SysbenchData =
  | { readonly kind: 'oltp'; readonly tables: number; readonly rowsPerTable: number }
  | { readonly kind: 'tpcc'; readonly warehouses: number };

export interface SysbenchOptions {
  /** A load script (load-script.ts) by its path on the host that runs it, or one of sysbench's own by its name. */
  readonly script: string;
  readonly server: DatabaseServer;
  readonly data: SysbenchData;
  readonly threads: number;
  /** Transactions per second that fall due, at random times, whatever becomes of those before; 0 is as many as possible. */
  readonly rateTps: number;
  readonly timeSeconds: number;
  readonly seed: number;
  /** false: a lost connection ends sysbench. Default true, with a load script. */
  readonly reconnect?: boolean;
}

/** The command with its arguments, one report a second. */
export function sysbenchCommand(options: SysbenchOptions): [file: string, ...args: string[]] {
  return [
    'sysbench',
    options.script,
    ...serverArguments(options.server, options.data),
    ...dataArguments(options.data),
    `--threads=${options.threads}`,
    `--rate=${options.rateTps}`,
    `--time=${options.timeSeconds}`,
    `--rand-seed=${options.seed}`,
    '--report-interval=1',
    ...(options.reconnect === false ? ['--reconnect=off'] : []),
    'run',
  ];
}

function serverArguments(server: DatabaseServer, data: SysbenchData): string[] {
  if (server.protocol === 'postgresql')
    return [
      '--db-driver=pgsql',
      `--pgsql-host=${server.host}`,
      `--pgsql-port=${server.port}`,
      `--pgsql-user=${server.user}`,
      `--pgsql-db=${postgresqlDatabase}`,
    ];
  return [
    '--db-driver=mysql',
    `--mysql-host=${server.host}`,
    `--mysql-port=${server.port}`,
    `--mysql-user=${server.user}`,
    `--mysql-password=${server.password}`,
    // Debian 13's client library asks for TLS with a trusted certificate otherwise.
    '--mysql-ssl=off',
    `--mysql-db=${data.kind === 'tpcc' ? 'tpcc' : 'sbtest'}`,
  ];
}

function dataArguments(data: SysbenchData): string[] {
  return data.kind === 'tpcc'
    ? [`--warehouses=${data.warehouses}`]
    : [`--tables=${data.tables}`, `--table-size=${data.rowsPerTable}`];
}

/** What sysbench dies of when transactions fall due faster than they are served: it keeps 100,000 waiting. */
export const fullQueueText = 'event queue is full';

const count = z.number().int().nonnegative();
const saidSchema = z.discriminatedUnion('sysbench', [
  z.object({
    sysbench: z.literal('second'),
    seconds: z.number().positive(),
    threads: count,
    transactions: count,
    reads: count,
    writes: count,
    others: count,
    errors: count,
    queued: count,
    in_service: count,
    latencies: z.array(z.tuple([z.number(), count])),
  }),
  z.object({
    sysbench: z.literal('connection'),
    state: z.enum(['connected', 'lost']),
    thread: count,
    /** The client library's or the server's number of the error; 0 of a new connection. */
    errno: count,
  }),
]);

/** One second of load. Rates are of the time that really passed since the report before. */
export interface SysbenchSecond {
  readonly kind: 'second';
  readonly tps: number;
  readonly qps: number;
  readonly readQps: number;
  readonly writeQps: number;
  readonly errorsPerSecond: number;
  readonly reconnectsPerSecond: number;
  /** With --rate only: transactions that fell due, and those that wait for a thread. */
  readonly open: { readonly offeredTps: number; readonly queued: number } | undefined;
  /** Of the transactions that ended; with --rate from when they fell due. Empty where sysbench is of another version. */
  readonly latencies: readonly Latency[];
}

export type SysbenchSaid =
  | SysbenchSecond
  | {
      readonly kind: 'connection';
      readonly state: 'connected' | 'lost';
      readonly thread: number;
      readonly errno: number;
    };

/** Totals of one sysbench, from its start to its end. */
interface SysbenchTotals {
  readonly transactions: number;
  readonly errors: number;
  readonly reconnects: number;
}

/** Reads the output of one sysbench, line by line. */
export class SysbenchOutput {
  #openLoop = false;
  /** Transactions that were due and not done at the last report. */
  #backlog = 0;
  #reconnects = 0;
  #totals: SysbenchTotals = { transactions: 0, errors: 0, reconnects: 0 };

  /** Takes the next line; undefined for one that is not our script's. */
  push(line: string): SysbenchSaid | undefined {
    if (/^Target transaction rate: \d/.test(line)) this.#openLoop = true;
    const said = parse(line);
    if (said?.sysbench === 'connection') {
      const { state, thread, errno } = said;
      if (state === 'connected') this.#reconnects += 1;
      return { kind: 'connection', state, thread, errno };
    }
    if (said === undefined) return undefined;

    const { seconds, transactions, reads, writes, others, errors, queued } = said;
    const backlog = queued + said.in_service;
    const offered = Math.max(0, transactions + backlog - this.#backlog);
    const reconnects = this.#reconnects;
    this.#backlog = backlog;
    this.#reconnects = 0;
    this.#totals = {
      transactions: this.#totals.transactions + transactions,
      errors: this.#totals.errors + errors,
      reconnects: this.#totals.reconnects + reconnects,
    };
    return {
      kind: 'second',
      tps: transactions / seconds,
      qps: (reads + writes + others) / seconds,
      readQps: reads / seconds,
      writeQps: writes / seconds,
      errorsPerSecond: errors / seconds,
      reconnectsPerSecond: reconnects / seconds,
      open: this.#openLoop ? { offeredTps: offered / seconds, queued } : undefined,
      latencies: said.latencies.map(([ms, transactions]) => ({ ms, transactions })),
    };
  }

  get totals(): SysbenchTotals {
    return this.#totals;
  }
}

function parse(line: string): z.infer<typeof saidSchema> | undefined {
  if (!line.startsWith('{"sysbench"')) return undefined;
  try {
    return saidSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}
