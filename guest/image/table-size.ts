/** How many sysbench rows fill a buffer pool. */
import type { DatabaseSystem } from '../../foundation/database-systems.ts';

/**
 * Bytes that a row of `sbtest` and its indexes take in the pool when every table and index was read. Measured as
 * leaf pages of MySQL 9.7 with 10 000, 100 000 and 1 000 000 rows: 240.8, 238.4 and 238.1; upper index levels add 0.2 %.
 * MariaDB's index files have the same size. PostgreSQL: size of the files of 1 000 000 rows in 17.
 */
const bytesPerRow: Readonly<Record<DatabaseSystem, number>> = {
  mariadb: 238.6,
  mysql: 238.6,
  postgresql: 254.4,
};

/**
 * The server's own pages in the pool, fitted to the pool's use after the warm-up of 1.8 million rows (within 1 %); PostgreSQL's, of
 * which only the catalogs that are read are there, to that of 33 000 rows.
 */
const ownBytes: Readonly<Record<DatabaseSystem, number>> = {
  mariadb: 4_000_000,
  mysql: 12_500_000,
  postgresql: 1_700_000,
};

/** Number of rows, over all tables, whose reading leaves `bytes` of the buffer pool in use. At least 1. */
export function rowsForDataBytes(dbms: DatabaseSystem, bytes: number): number {
  return Math.max(1, Math.floor((bytes - ownBytes[dbms]) / bytesPerRow[dbms]));
}
