/**
 * Layouts that the agent finds out, on servers of every version that Debian has: known ones are what they are held against, and
 * the server's own count of its pages. About 30 s each, the first time two minutes more (it makes the root tree).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { Deadline, listMs } from '../agent/deadline.ts';
import { InnodbFinder } from '../agent/innodb/finder.ts';
import { knownLayoutOf } from '../agent/innodb/layouts.ts';
import { ServerLayouts } from '../agent/innodb/pool-search.ts';
import type { CachedPages, CachingProgram } from '../agent/page-finder.ts';
import { type PackageSet, serverPackages } from '../../scripts/debian-packages.ts';
import { compareWithFiles } from './compare.ts';
import { ScratchServer } from './scratch-server.ts';

const mariadb = ['mariadb-server-core', 'mariadb-client-core'];
const servers: readonly (readonly [
  name: string,
  dbms: 'mariadb' | 'mysql',
  packages: PackageSet,
  isKnown: boolean,
])[] = [
  [
    'MariaDB 10.5 of Debian 11',
    'mariadb',
    { suite: 'bullseye', packages: ['mariadb-server-core-10.5', 'mariadb-client-core-10.5'] },
    false,
  ],
  ['MariaDB 10.11 of Debian 12', 'mariadb', serverPackages.mariadb, true],
  ['MariaDB 11.8 of Debian 13', 'mariadb', { suite: 'trixie', packages: mariadb }, false],
  ["MariaDB of Debian's unstable suite", 'mariadb', { suite: 'sid', packages: mariadb }, false],
  ["MySQL of Debian's unstable suite", 'mysql', serverPackages.mysql, true],
];
const rowsLog2 = 16;
const minDirtyPages = 50;

for (const [name, dbms, packages, isKnown] of servers) {
  test.serial(`${name}: the layout that is found out lists what the server has`, async (t) => {
    t.timeout(1_200_000);
    const log = (line: string): void => {
      t.log(line);
    };
    const server = await ScratchServer.start({ dbms, packages, poolBytes: 192 * 1024 * 1024, log });
    t.teardown(() => server.stop());
    await server.sql(
      `CREATE DATABASE test; USE test;
       CREATE TABLE t1 (id INT AUTO_INCREMENT PRIMARY KEY, k INT, c CHAR(120), pad CHAR(60), KEY (k));
       INSERT INTO t1 (k, c, pad) VALUES (1, SHA2(1, 256), HEX(2));
       ${'INSERT INTO t1 (k, c, pad) SELECT RAND() * 1e9, SHA2(RAND(), 256), pad FROM t1;\n'.repeat(rowsLog2)}
       CREATE TABLE t2 AS SELECT * FROM t1;`,
    );
    const programOf = async (finder: InnodbFinder): Promise<CachingProgram> => {
      const program = (await finder.programs()).find(({ pid }) => pid === server.pid);
      if (program === undefined) throw new Error('the agent does not see the server');
      return program;
    };
    await (await programOf(new InnodbFinder())).writeDirtyPages();
    // The layout is learned from dirty pages: some must stay. MySQL would write them as soon as it has nothing else to do.
    if (dbms === 'mysql') await server.sql('SET GLOBAL innodb_idle_flush_pct = 0');
    const countOf = async (counter: string): Promise<number> =>
      Number(
        (await server.sql(`SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_${counter}'`)).split('\t')[1],
      );
    do await server.sql('UPDATE test.t1 SET k = k + 1 WHERE id % 500 = 0');
    while ((await countOf('dirty')) < minDirtyPages);
    process.kill(server.pid, 'SIGSTOP');
    await sleep(100);
    const list = async (usesKnown: boolean): Promise<CachedPages> =>
      (await programOf(new InnodbFinder(new ServerLayouts({ usesKnown })))).findPages(new Deadline(listMs));
    const found = await list(false);
    const { compared, differing } = compareWithFiles(found);
    t.log(
      `${server.version}: ${found.server.cachedPages} cached, ${found.server.dirtyPages} dirty, ` +
        `${compared} listed, ${differing} differing`,
    );
    t.is(found.server.method, 'descriptors');
    t.is(differing, 0);
    const known = knownLayoutOf(dbms, found.server.version);
    t.is(known !== undefined, isKnown);
    if (known !== undefined) {
      const expected = await list(true);
      t.is(found.count, expected.count);
      t.is(found.server.dirtyPages, expected.server.dirtyPages);
    }
    process.kill(server.pid, 'SIGCONT');
    const cached = await countOf('data');
    // Its temporary tables' pages come and go.
    t.true(Math.abs(found.server.cachedPages - cached) < 0.05 * cached, `${cached} by its own count`);
  });
}
