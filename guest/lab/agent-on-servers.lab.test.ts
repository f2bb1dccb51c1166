/** The agent's finder on real servers. Each takes about 20 s, the first time a minute more (it makes the root tree). */
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { Deadline, listMs } from '../agent/deadline.ts';
import { ExtentIndex, locateFiles } from '../agent/file-location.ts';
import { InnodbFinder, selectPages } from '../agent/innodb/finder.ts';
import { scanFrames } from '../agent/innodb/frame-scan.ts';
import { ServerLayouts } from '../agent/innodb/pool-search.ts';
import { poolMemory } from '../agent/innodb/pool-memory.ts';
import { TablespaceIndex } from '../agent/innodb/tablespaces.ts';
import type { CachedPages, CachingProgram } from '../agent/page-finder.ts';
import { buildRuns } from '../agent/page-runs.ts';
import { ProcessMemory, readMappings } from '../agent/process-memory.ts';
import { compareWithFiles } from './compare.ts';
import { ScratchServer } from './scratch-server.ts';

const poolBytes = 192 * 1024 * 1024;
const rows = 2 ** 16;

async function programOf(server: ScratchServer, layouts?: ServerLayouts): Promise<CachingProgram> {
  const programs = await new InnodbFinder(layouts).programs();
  const program = programs.find(({ pid }) => pid === server.pid);
  if (program === undefined) throw new Error(`the agent does not see the server, process ${server.pid}`);
  return program;
}

/** Once is enough but where the disk is slow: the agent gives up after a while. */
async function writeMostPages(program: CachingProgram): Promise<void> {
  for (let attempt = 0; attempt < 10; attempt += 1) {
    await program.writeDirtyPages();
    const { dirtyPages, cachedPages } = (await program.findPages(new Deadline(listMs))).server;
    if (dirtyPages < 0.1 * cachedPages) return;
  }
}

async function makeTable(server: ScratchServer, name: string, options = ''): Promise<void> {
  await server.sql(
    `CREATE DATABASE IF NOT EXISTS test; USE test;
     CREATE TABLE ${name} (id INT AUTO_INCREMENT PRIMARY KEY, k INT, c CHAR(120), pad CHAR(60), KEY (k)) ${options};
     INSERT INTO ${name} (k, c, pad) VALUES (1, SHA2(1, 256), HEX(2));`,
  );
  for (let filled = 1; filled < rows; filled *= 2)
    await server.sql(
      `INSERT INTO test.${name} (k, c, pad) SELECT RAND() * 1e9, SHA2(RAND(), 256), pad FROM test.${name}`,
    );
}

const churn = (table: string): string => `
  USE test;
  DELIMITER //
  CREATE PROCEDURE churn() BEGIN
    LOOP
      SET @row = 1 + FLOOR(RAND() * ${rows});
      UPDATE ${table} SET c = SHA2(RAND(), 256), k = k + 1 WHERE id = @row;
    END LOOP;
  END //
  DELIMITER ;`;

const specialTables = {
  mariadb: { compressed: 'ROW_FORMAT=COMPRESSED', holes: 'PAGE_COMPRESSED=1' },
  mysql: { compressed: 'ROW_FORMAT=COMPRESSED', holes: "COMPRESSION='zlib'" },
} as const;

for (const dbms of ['mariadb', 'mysql'] as const) {
  test.serial(`${dbms}: tables whose file holds the pages in another form are left out`, async (t) => {
    t.timeout(300_000);
    const server = await ScratchServer.start({
      dbms,
      poolBytes,
      log: (line) => {
        t.log(line);
      },
    });
    t.teardown(() => server.stop());
    await makeTable(server, 'plain');
    for (const [name, options] of Object.entries(specialTables[dbms])) await makeTable(server, name, options);
    await server.sql('CREATE TEMPORARY TABLE test.gone AS SELECT * FROM test.plain');
    const program = await programOf(server);
    await program.writeDirtyPages();
    const pages = await program.findPages(new Deadline(listMs));
    t.is(pages.server.method, 'descriptors');
    const frames = new Uint32Array(pages.count * 4).fill(1);
    const locations = await locateFiles(pages.pid, pages.files, new ExtentIndex(), new Deadline(listMs));
    const listedOf = (table: string): number =>
      buildRuns([
        {
          pages,
          frames,
          locations: locations.map((place, file) =>
            pages.files[file]?.endsWith(`/${table}.ibd`) === true ? place : ({ leftOut: 'gone' } as const),
          ),
        },
      ]).pageCount;
    const [plain, compressed, holes] = [listedOf('plain'), listedOf('compressed'), listedOf('holes')];
    t.log(
      `4 KiB pages listed: plain ${plain}, compressed ${compressed}, page-compressed ${holes}; ${pages.server.excludedPages} pages excluded`,
    );
    t.true(plain * 4096 > rows * 150);
    t.is(compressed, 0);
    // Pages that would not have become smaller lie in the file as they are.
    t.true(holes < plain / 20);
    t.true(pages.server.excludedPages > 100);
    const listedFiles = [...new Set(pages.file.subarray(0, pages.count))].map(
      (file) => pages.files[file] ?? '',
    );
    t.deepEqual(
      listedFiles.filter((file) => /(^|\/)(ibtmp\d+|[^/]*\.ibt)$/.test(file)),
      [],
      'temporary tablespaces',
    );
  });

  test.serial(`${dbms}: listed pages are equal to the disk, idle and under load`, async (t) => {
    t.timeout(300_000);
    const server = await ScratchServer.start({
      dbms,
      poolBytes,
      log: (line) => {
        t.log(line);
      },
    });
    t.teardown(() => server.stop());
    await makeTable(server, 't1');
    await makeTable(server, 't2');
    const program = await programOf(server);

    const limits = 'SELECT @@innodb_max_dirty_pages_pct, @@innodb_max_dirty_pages_pct_lwm';
    const before = await server.sql(limits);
    await writeMostPages(program);
    t.is(await server.sql(limits), before, 'settings that were changed to write pages are as they were');
    const idle = await whileStopped(server, async () => {
      const pages = await program.findPages(new Deadline(listMs));
      return { pages, comparison: compareWithFiles(pages) };
    });
    report(t, 'idle', idle.pages, idle.comparison);
    t.is(idle.pages.server.method, 'descriptors');
    t.true(server.version.startsWith(idle.pages.server.version), idle.pages.server.version);
    // MariaDB's temporary tablespace stays dirty, and purging goes on.
    t.true(idle.pages.server.dirtyPages < 0.1 * idle.pages.server.cachedPages);
    t.true(idle.pages.count * idle.pages.pageSizeBytes > 2 * rows * 150, 'both tables are in the pool');
    t.is(idle.comparison.differing, 0);

    const scanned = await whileStopped(server, async () => {
      const pages = await scan(server, dbms);
      return { pages, comparison: compareWithFiles(pages) };
    });
    report(t, 'idle, by a scan as of an unknown layout', scanned.pages, scanned.comparison);
    t.true(scanned.pages.count > 0.95 * idle.pages.count);
    // A frame that was given back keeps its page's last content, which may be older than the file's.
    t.true(scanned.comparison.differing <= 0.01 * scanned.comparison.compared);

    await server.sql(churn('t1'));
    const load = server.startSql('CALL test.churn()');
    await sleep(3000);
    const loaded = await whileStopped(server, async () => {
      const pages = await program.findPages(new Deadline(listMs));
      return { pages, comparison: compareWithFiles(pages) };
    });
    report(t, 'under load', loaded.pages, loaded.comparison);
    t.true(loaded.pages.server.dirtyPages > 0);
    // A page inside an open mini-transaction is on no list yet.
    t.true(loaded.comparison.differing <= 4);

    const beganMs = performance.now();
    const live = await program.findPages(new Deadline(listMs));
    const staleness = compareWithFiles(live);
    report(
      t,
      `under load, not stopped, compared within ${Math.round(performance.now() - beganMs)} ms`,
      live,
      staleness,
    );
    // How many are changed again by then depends on how long it took: only that they were looked at is certain.
    t.true(staleness.compared > 0);
    load.kill();
  });
}

test.serial(
  "mysql: pages with InnoDB's checksum of before CRC-32C are listed, also without a known layout",
  async (t) => {
    t.timeout(300_000);
    const server = await ScratchServer.start({
      ...{ dbms: 'mysql', poolBytes, options: ['--innodb-checksum-algorithm=innodb'] },
      log: (line) => {
        t.log(line);
      },
    });
    t.teardown(() => server.stop());
    await makeTable(server, 't1');
    await writeMostPages(await programOf(server));
    for (const usesKnown of [true, false]) {
      const program = await programOf(server, new ServerLayouts({ usesKnown }));
      // Dirty pages, which a layout is learned from.
      await server.sql('UPDATE test.t1 SET k = k + 1 WHERE id % 400 = 0');
      const { pages, comparison } = await whileStopped(server, async () => {
        const pages = await program.findPages(new Deadline(listMs));
        return { pages, comparison: compareWithFiles(pages) };
      });
      report(t, usesKnown ? 'known layout' : 'layout found out', pages, comparison);
      t.is(pages.server.method, 'descriptors');
      t.true(pages.count * pages.pageSizeBytes > rows * 150);
      t.is(comparison.differing, 0);
    }
  },
);

/** What the finder does when no layout fits. */
async function scan(server: ScratchServer, product: 'mariadb' | 'mysql'): Promise<CachedPages> {
  const { pid, version } = server;
  const tablespaces = await new TablespaceIndex(product).read(pid, new Deadline(listMs));
  const pageSizeBytes = tablespaces[0]?.pageSizeBytes ?? 0;
  const plain = new Set(
    tablespaces.filter(({ excluded }) => excluded === undefined).map(({ spaceId }) => spaceId),
  );
  const memory = new ProcessMemory(pid);
  try {
    const found = scanFrames(memory, poolMemory(readMappings(pid)), pageSizeBytes, (id) => plain.has(id));
    return {
      pid,
      pageSizeBytes,
      ...selectPages(found, pageSizeBytes, tablespaces, { product, version }, 'scan'),
    };
  } finally {
    memory.close();
  }
}

/** Stops the server meanwhile, so that what is compared is what was listed. The agent itself never stops one. */
async function whileStopped<Result>(server: ScratchServer, action: () => Promise<Result>): Promise<Result> {
  process.kill(server.pid, 'SIGSTOP');
  try {
    await sleep(100);
    return await action();
  } finally {
    process.kill(server.pid, 'SIGCONT');
  }
}

function report(
  t: ExecutionContext,
  state: string,
  { server, count }: Awaited<ReturnType<CachingProgram['findPages']>>,
  { compared, differing }: { compared: number; differing: number },
): void {
  t.log(
    `${state}: ${server.cachedPages} cached, ${server.dirtyPages} dirty, ${server.excludedPages} excluded, ` +
      `${count} listed; ${compared - differing} equal to their file, ${differing} differing`,
  );
}
