/** How many sysbench rows fill a buffer pool. */
import type { DatabaseSystem } from './packages.ts';

/**
 * Pages that a row of `sbtest` and its secondary index take in the pool when every table and index was read. Measured
 * after loading 10 000, 100 000 and 1 000 000 rows: 240.8, 238.4 and 238.1 bytes a row as leaf pages, the same for both
 * servers; upper index levels add 0.2 %.
 */
const bytesPerRow = 238.6;

/** Pages of the server's own that lie in the pool once it runs: system tables, undo logs. Measured. */
const ownBytes: Readonly<Record<DatabaseSystem, number>> = { mariadb: 4_000_000, mysql: 12_500_000 };

/** Number of rows, over all tables, whose reading leaves `bytes` of the buffer pool in use. At least 1. */
export function rowsForDataBytes(dbms: DatabaseSystem, bytes: number): number {
  return Math.max(1, Math.floor((bytes - ownBytes[dbms]) / bytesPerRow));
}
