/**
 * Which pages the agent takes for cold, on servers of every version that Debian has: none with rows of a table that was read again and again,
 * and a good part of one that was read from its begin to its end. About a minute each, the first time two more (it makes the root tree).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type { DatabaseSystem } from '../../foundation/database-systems.ts';
import { type PackageSet, serverPackages } from '../../scripts/debian-packages.ts';
import { Deadline, listMs } from '../agent/deadline.ts';
import { InnodbFinder } from '../agent/innodb/finder.ts';
import type { CachedPages, PageFinder } from '../agent/page-finder.ts';
import { PostgresqlFinder } from '../agent/postgresql/finder.ts';
import { ScratchServer } from './scratch-server.ts';

const mariadb = ['mariadb-server-core', 'mariadb-client-core'];
const servers: readonly (readonly [name: string, dbms: DatabaseSystem, packages: PackageSet])[] = [
  [
    'MariaDB 10.5 of Debian 11',
    'mariadb',
    { suite: 'bullseye', packages: ['mariadb-server-core-10.5', 'mariadb-client-core-10.5'] },
  ],
  ['MariaDB 10.11 of Debian 12', 'mariadb', serverPackages.mariadb],
  ['MariaDB 11.8 of Debian 13', 'mariadb', { suite: 'trixie', packages: mariadb }],
  ["MariaDB of Debian's unstable suite", 'mariadb', { suite: 'sid', packages: mariadb }],
  ["MySQL of Debian's unstable suite", 'mysql', serverPackages.mysql],
  ['PostgreSQL 17 of Debian 13', 'postgresql', serverPackages.postgresql],
];

const poolBytes = 64 * 1024 * 1024;
const usedRows = 2 ** 14;
/** At least so many pages hold them. A pool may have others of that file, in extents that no row has reached: nobody reads those. */
const usedPages = 130;
/** Several times the pool. */
const readRows = 2 ** 19;

/** Statements, by what the two kinds of server understand. */
interface Workload {
  readonly fill: (table: string, rows: number) => Promise<void>;
  /** Reads the table that is used, and the one that is not. */
  readonly use: string;
  readonly read: string;
}

function innodbWorkload(server: ScratchServer): Workload {
  return {
    fill: async (table, rows) => {
      await server.sql(
        `CREATE DATABASE IF NOT EXISTS test; USE test;
         CREATE TABLE ${table} (id INT AUTO_INCREMENT PRIMARY KEY, k INT, c CHAR(120), pad CHAR(60));
         INSERT INTO ${table} (k, c, pad) VALUES (1, SHA2(1, 256), HEX(2));`,
      );
      for (let filled = 1; filled < rows; filled *= 2)
        await server.sql(
          `INSERT INTO test.${table} (k, c, pad) SELECT RAND() * 1e9, SHA2(RAND(), 256), pad FROM test.${table}`,
        );
    },
    use: 'SELECT SUM(LENGTH(c)) FROM test.used',
    read: 'SELECT SUM(LENGTH(c)) FROM test.once_read',
  };
}

function postgresqlWorkload(server: ScratchServer): Workload {
  return {
    fill: async (table, rows) => {
      await server.sql(
        `CREATE EXTENSION IF NOT EXISTS pg_prewarm; CREATE TABLE ${table} AS
         SELECT id, (random() * 1e9)::int AS k, md5(random()::text) AS c, repeat(md5(id::text), 4) AS pad
         FROM generate_series(1, ${rows}) AS id`,
      );
      await server.sql(`VACUUM (FREEZE, ANALYZE) ${table}`);
      await server.sql('CHECKPOINT');
    },
    use: 'SELECT SUM(LENGTH(c)) FROM used',
    // What a query reads of so large a table goes through a few buffers alone.
    read: "SELECT pg_prewarm('once_read')",
  };
}

const fileOf = async (server: ScratchServer, table: string): Promise<string> =>
  server.dbms === 'postgresql'
    ? `/${(await server.sql(`SELECT pg_relation_filepath('${table}')`)).trim()}`
    : `/test/${table}.ibd`;

async function listed(server: ScratchServer, finder: PageFinder): Promise<CachedPages> {
  const program = (await finder.programs()).find(({ pid }) => pid === server.pid);
  if (program === undefined) throw new Error('the agent does not see the server');
  return program.findPages(new Deadline(listMs));
}

/** Cold pages of a table, and all that are listed of it. */
async function countOf(
  t: ExecutionContext,
  server: ScratchServer,
  pages: CachedPages,
  table: string,
): Promise<{ readonly cold: number; readonly all: number }> {
  const name = await fileOf(server, table);
  const places = [...pages.file.keys()].filter(
    (index) => pages.files[pages.file[index] ?? -1]?.endsWith(name) === true,
  );
  const counts = { cold: places.filter((index) => pages.cold[index] === 1).length, all: places.length };
  t.log(`${table}: ${counts.cold} of ${counts.all} pages are cold`);
  return counts;
}

for (const [name, dbms, packages] of servers) {
  test.serial(`${name}: pages that are used are hot, and others are cold`, async (t) => {
    t.timeout(1_200_000);
    const server = await ScratchServer.start({
      ...{ dbms, packages, poolBytes },
      options: dbms === 'postgresql' ? ['-c', 'autovacuum=off'] : [],
      log: (line) => {
        t.log(line);
      },
    });
    t.teardown(() => server.stop());
    const workload = dbms === 'postgresql' ? postgresqlWorkload(server) : innodbWorkload(server);
    const finder = dbms === 'postgresql' ? new PostgresqlFinder() : new InnodbFinder();
    await workload.fill('used', usedRows);
    if (dbms !== 'postgresql') {
      const { cold, heatUnknown } = await listed(server, finder);
      t.false(cold.includes(1), 'before anything was evicted all pages count as hot');
      t.is(typeof heatUnknown, 'string');
    }
    await workload.fill('once_read', readRows);
    let pages: CachedPages | undefined;
    // A layout that is not known is learned from dirty pages, and an order of use from pages that are evicted.
    for (let attempt = 0; attempt < 10; attempt++) {
      await server.sql(workload.read);
      // A page is young when it is read again innodb_old_blocks_time after the first time.
      for (let times = 0; times < 3; times++) {
        await server.sql(workload.use);
        await sleep(1100);
      }
      if (dbms !== 'postgresql') await server.sql('UPDATE test.used SET k = k + 1 WHERE id % 200 = 0');
      pages = await listed(server, finder);
      t.log(`${server.version}: ${pages.count} listed, heat ${pages.heatUnknown ?? 'known'}`);
      if (pages.server.method === 'descriptors' && pages.heatUnknown === undefined) break;
    }
    if (pages === undefined) return;
    t.is(pages.heatUnknown, undefined);
    const used = await countOf(t, server, pages, 'used');
    t.true(used.all - used.cold >= usedPages);
    const read = await countOf(t, server, pages, 'once_read');
    // Old are 37 % of a pool, but how many of these are dirty, and so not listed, differs from run to run.
    t.true(read.all > 500 && read.cold > 0.1 * read.all);
  });
}
