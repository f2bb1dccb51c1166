/**
 * Fills the buffer pool with what the guest's image says it should hold: the list of pages that the server itself wrote
 * when every table and every index had been read, as the paper does before each run (guest/image/fill-data.sh). Reading
 * that list's pages takes an emulated guest a fraction of the time that the queries take, and ends with the same pool. PostgreSQL
 * reads its tables and indexes by name.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '../../foundation/coded-error.ts';
import type { Host } from '../testbed/host.ts';
import type { DatabaseServer } from './database-server.ts';
import { readSharedBuffersUse, warmSharedBuffers } from './postgresql.ts';
import { runSql } from './sql-client.ts';

/** The pool as `SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool%'` gives it. */
interface BufferPoolUse {
  /** Bytes of pages that hold data. */
  readonly dataBytes: number;
  readonly dirtyBytes: number;
  readonly totalPages: number;
  readonly freePages: number;
  /** What the server says of its reading the list: "Loaded 1000/65000 pages". */
  readonly loadStatus: string;
}

interface WarmUpProgress extends BufferPoolUse {
  readonly elapsedMs: number;
}

/** A pool of gigabytes over a slow network needs minutes. */
const timeoutMs = 30 * 60_000;
const pollMs = 1000;
const pollsPerReport = 5;

const statusNames = {
  dataBytes: 'innodb_buffer_pool_bytes_data',
  dirtyBytes: 'innodb_buffer_pool_bytes_dirty',
  totalPages: 'innodb_buffer_pool_pages_total',
  freePages: 'innodb_buffer_pool_pages_free',
} as const;

export function parseBufferPoolUse(rows: readonly (readonly string[])[]): BufferPoolUse {
  const status = new Map(rows.map(([name, value]) => [name?.toLowerCase(), value]));
  const figure = (name: keyof typeof statusNames): number => Number(status.get(statusNames[name]) ?? 0);
  return {
    dataBytes: figure('dataBytes'),
    dirtyBytes: figure('dirtyBytes'),
    totalPages: figure('totalPages'),
    freePages: figure('freePages'),
    loadStatus: status.get('innodb_buffer_pool_load_status') ?? '',
  };
}

/** @throws CodedError 'host' */
export async function readBufferPoolUse(client: Host, server: DatabaseServer): Promise<BufferPoolUse> {
  if (server.protocol === 'postgresql') return readSharedBuffersUse(client, server);
  return parseBufferPoolUse(await runSql(client, server, `SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool%'`));
}

/** Reads `Innodb_buffer_pool_load_status` (storage/innobase/buf/buf0dump.cc). An empty dump is a failure too. */
export function judgePoolLoad(status: string): 'loading' | 'completed' | 'failed' {
  if (/^(Cannot|Error)|aborted|was empty/i.test(status)) return 'failed';
  return /load completed/i.test(status) ? 'completed' : 'loading';
}

/**
 * Has the server read the pages of its list and returns what the pool holds when all of them have arrived.
 * @throws CodedError 'host', CodedError 'run', 'warm-up-failed'
 */
export async function warmUp(
  client: Host,
  server: DatabaseServer,
  onProgress: (progress: WarmUpProgress) => void,
  signal?: AbortSignal,
): Promise<BufferPoolUse> {
  if (server.protocol === 'postgresql') return warmSharedBuffers(client, server, signal);
  const startedMs = performance.now();
  // What it says of an earlier load, which bears its time.
  const { loadStatus: earlierStatus } = await readBufferPoolUse(client, server);
  await runSql(client, server, 'SET GLOBAL innodb_buffer_pool_load_now = ON');
  let previousBytes = -1;
  for (let poll = 1; ; poll += 1) {
    await sleep(pollMs, undefined, { signal });
    const use = await readBufferPoolUse(client, server);
    const elapsedMs = performance.now() - startedMs;
    if (poll % pollsPerReport === 0) onProgress({ ...use, elapsedMs });
    const load = use.loadStatus === earlierStatus ? 'loading' : judgePoolLoad(use.loadStatus);
    // MySQL calls it completed when the last reads have been asked for.
    if (load === 'completed' && use.dataBytes === previousBytes) return use;
    if (load === 'failed')
      throw new CodedError(
        'run',
        'warm-up-failed',
        `the server does not fill its buffer pool: ${use.loadStatus}`,
      );
    if (elapsedMs > timeoutMs)
      throw new CodedError(
        'run',
        'warm-up-failed',
        `the buffer pool was not filled within ${timeoutMs / 60_000} minutes: ${use.loadStatus}`,
      );
    previousBytes = use.dataBytes;
  }
}
