/** Fills the buffer pool: reads every table and every index, as the paper does before each run. */
import type { Host } from '../testbed/host.ts';
import type { DatabaseServer } from './database-server.ts';
import { runSql } from './sql-client.ts';

/** A statement for each index. The sum over `c` makes it read the rows and not just count them. */
export const warmUpStatements = (table: number): readonly string[] => [
  `SELECT COUNT(*), SUM(LENGTH(c)) FROM sbtest.sbtest${table} FORCE INDEX (PRIMARY)`,
  `SELECT COUNT(k) FROM sbtest.sbtest${table} FORCE INDEX (k_${table})`,
];

/** The pool as `SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool%'` gives it. */
export interface BufferPoolUse {
  /** Bytes of pages that hold data. */
  readonly dataBytes: number;
  readonly dirtyBytes: number;
  readonly totalPages: number;
  readonly freePages: number;
}

export interface WarmUpProgress extends BufferPoolUse {
  readonly tablesRead: number;
  readonly tables: number;
  readonly elapsedMs: number;
}

/** The slowest read that was seen is 20 MB/s under TCG; a table of gigabytes needs minutes. */
const tableTimeoutMs = 30 * 60_000;

const statusNames: Readonly<Record<keyof BufferPoolUse, string>> = {
  dataBytes: 'innodb_buffer_pool_bytes_data',
  dirtyBytes: 'innodb_buffer_pool_bytes_dirty',
  totalPages: 'innodb_buffer_pool_pages_total',
  freePages: 'innodb_buffer_pool_pages_free',
};

export function parseBufferPoolUse(rows: readonly (readonly string[])[]): BufferPoolUse {
  const status = new Map(rows.map(([name, value]) => [name?.toLowerCase(), Number(value)]));
  const figure = (name: keyof BufferPoolUse): number => status.get(statusNames[name]) ?? 0;
  return {
    dataBytes: figure('dataBytes'),
    dirtyBytes: figure('dirtyBytes'),
    totalPages: figure('totalPages'),
    freePages: figure('freePages'),
  };
}

/** @throws HostError */
export async function readBufferPoolUse(client: Host, server: DatabaseServer): Promise<BufferPoolUse> {
  return parseBufferPoolUse(await runSql(client, server, `SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool%'`));
}

/**
 * Reads tables `sbtest1` to `sbtestN` one after another and returns what the pool holds then.
 * @throws HostError
 */
export async function warmUp(
  client: Host,
  server: DatabaseServer,
  tables: number,
  onProgress: (progress: WarmUpProgress) => void,
  signal?: AbortSignal,
): Promise<BufferPoolUse> {
  const startedMs = performance.now();
  for (let table = 1; table <= tables; table += 1) {
    await runSql(client, server, warmUpStatements(table).join(';\n'), {
      timeoutMs: tableTimeoutMs,
      ...(signal === undefined ? {} : { signal }),
    });
    const use = await readBufferPoolUse(client, server);
    onProgress({ ...use, tablesRead: table, tables, elapsedMs: performance.now() - startedMs });
  }
  return readBufferPoolUse(client, server);
}
