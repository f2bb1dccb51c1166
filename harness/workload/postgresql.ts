/** What is asked of PostgreSQL in its own words: its shared buffers, and whether its tables are sound. */
import type { Host } from '../testbed/host.ts';
import type { DatabaseServer } from './database-server.ts';
import { runSql } from './sql-client.ts';

const blockBytes = 8192;
/** Reading gigabytes over a slow network needs minutes. */
const longTimeoutMs = 30 * 60_000;

/** Of the shared buffers, those that hold a page of a file. */
interface SharedBuffersUse {
  readonly dataBytes: number;
  readonly dirtyBytes: number;
  readonly totalPages: number;
  readonly freePages: number;
  /** Nothing loads them in the background. */
  readonly loadStatus: '';
}

/** @throws CodedError 'host' */
export async function readSharedBuffersUse(client: Host, server: DatabaseServer): Promise<SharedBuffersUse> {
  const [row = []] = await runSql(
    client,
    server,
    'SELECT buffers_used, buffers_unused, buffers_dirty FROM pg_buffercache_summary()',
  );
  const [used = 0, unused = 0, dirty = 0] = row.map(Number);
  return {
    dataBytes: used * blockBytes,
    dirtyBytes: dirty * blockBytes,
    totalPages: used + unused,
    freePages: unused,
    loadStatus: '',
  };
}

/** Has the server read every table and every index of its database (pg_prewarm). @throws CodedError 'host' */
export async function warmSharedBuffers(
  client: Host,
  server: DatabaseServer,
  signal?: AbortSignal,
): Promise<SharedBuffersUse> {
  await runSql(
    client,
    server,
    `SELECT SUM(pg_prewarm(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind IN ('r', 'i') AND nspname IN ('public', 'poolshift')`,
    { timeoutMs: longTimeoutMs, ...(signal === undefined ? {} : { signal }) },
  );
  return readSharedBuffersUse(client, server);
}

export const listPostgresqlTables =
  "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('public', 'poolshift') ORDER BY 1";

/** By amcheck: rows are what is wrong with the table's pages; an index that lacks a row or is out of order is an error of the server's. */
export const checkPostgresqlTable = (table: string): string =>
  `SELECT bt_index_check(indexrelid, true) FROM pg_index WHERE indrelid = '${table}'::regclass;
SELECT 'block ' || blkno || ': ' || msg FROM verify_heapam('${table}')`;
