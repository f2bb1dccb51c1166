/**
 * What the agent lists of PostgreSQL servers of every version that Debian has, against the tables' files and the server's own count
 * of its buffers (pg_buffercache). About 20 s each, the first time a minute more (it makes the root tree).
 */
import { open } from 'node:fs/promises';
import test from 'ava';
import { Deadline, listMs } from '../agent/deadline.ts';
import type { CachedPages, CachingProgram } from '../agent/page-finder.ts';
import { translatePages } from '../agent/pagemap.ts';
import { PostgresqlFinder } from '../agent/postgresql/finder.ts';
import { type PackageSet, serverPackages } from '../../scripts/debian-packages.ts';
import { checkPostgresqlTable, listPostgresqlTables } from '../../harness/workload/postgresql.ts';
import { judgePostgresqlError } from '../../harness/workload/table-check.ts';
import { compareWithFiles } from './compare.ts';
import { ScratchServer } from './scratch-server.ts';

const servers: readonly (readonly [name: string, packages: PackageSet, hasAlignedBlocks: boolean])[] = [
  ['PostgreSQL 15 of Debian 12', { suite: 'bookworm', packages: ['postgresql'] }, false],
  ['PostgreSQL 17 of Debian 13', serverPackages.postgresql, true],
  ["PostgreSQL of Debian's unstable suite", { suite: 'sid', packages: ['postgresql'] }, true],
];
const rows = 200_000;
/** Nothing changes by itself while it is looked at. */
const quiet = ['autovacuum=off', 'bgwriter_lru_maxpages=0', 'checkpoint_timeout=1h'];

for (const [name, packages, hasAlignedBlocks] of servers) {
  test.serial(`${name}: what is listed is what the files hold`, async (t) => {
    t.timeout(1_200_000);
    const server = await ScratchServer.start({
      ...{ dbms: 'postgresql', packages, poolBytes: 128 * 1024 * 1024 },
      options: quiet.flatMap((setting) => ['-c', setting]),
      log: (line) => {
        t.log(line);
      },
    });
    t.teardown(() => server.stop());
    const finder = new PostgresqlFinder();
    const programOf = async (): Promise<CachingProgram> => {
      const program = (await finder.programs()).find(({ pid }) => pid === server.pid);
      if (program === undefined) throw new Error('the agent does not see the server');
      return program;
    };
    const list = async (state: string): Promise<CachedPages> => {
      const startMs = performance.now();
      const pages = await (await programOf()).findPages(new Deadline(listMs));
      const ms = performance.now() - startMs;
      const { cachedPages, dirtyPages } = pages.server;
      const { differing } = compareWithFiles(pages);
      t.log(
        `${server.version}, ${state}: ${cachedPages} cached, ${dirtyPages} dirty, ${pages.count} listed in ${Math.round(ms)} ms, ` +
          `${differing} differing; left out ${JSON.stringify(pages.leftOut)}`,
      );
      t.is(differing, 0);
      // A server that asks counts the pages of its own question, too.
      const own = await server.sql(
        'SELECT COUNT(*), COUNT(*) FILTER (WHERE isdirty) FROM pg_buffercache WHERE relfilenode IS NOT NULL',
      );
      const [cached = 0, dirty = 0] = own.split('\t').map(Number);
      t.true(Math.abs(cached - cachedPages) < 100, `${cached} cached by its own count`);
      t.true(Math.abs(dirty - dirtyPages) < 50, `${dirty} dirty by its own count`);
      // Each has a frame, whoever has used it.
      if (pages.count > 0) t.false(translatePages(pages).includes(0));
      return pages;
    };

    t.true((await programOf()).isReady());
    await server.sql('CREATE EXTENSION pg_buffercache; CREATE EXTENSION pg_prewarm');
    await server.sql(
      `CREATE TABLE t1 AS SELECT id, (random() * 1e9)::int AS k, md5(random()::text) AS c, repeat(md5(id::text), 4) AS pad
       FROM generate_series(1, ${rows}) AS id;
       CREATE INDEX ON t1 (k); ALTER TABLE t1 ADD PRIMARY KEY (id)`,
    );
    await server.sql('VACUUM (FREEZE, ANALYZE) t1');
    await (await programOf()).writeDirtyPages();
    const written = await list('after a checkpoint');
    t.true(server.version.startsWith(written.server.version), written.server.version);
    t.true(written.server.dirtyPages < 50);
    if (!hasAlignedBlocks) {
      t.is(written.count, 0);
      t.true((written.leftOut['unaligned-in-memory'] ?? 0) > 1000);
      return;
    }
    await server.sql('UPDATE t1 SET c = md5(c) WHERE id % 500 = 0');
    const changed = await list('after an update');
    t.true(changed.server.dirtyPages >= rows / 500 / 40);
    await (await programOf()).writeDirtyPages();

    // What is read from its file has the file's checksum, where the server has checksums.
    await evictAll(server);
    await server.sql("SELECT SUM(pg_prewarm(oid)) FROM pg_class WHERE relname ~ '^t1'");
    const read = await list('read again');
    t.true(read.count > 0.9 * read.server.cachedPages);
    t.true(read.count * read.pageSizeBytes > rows * 200);

    // The check that follows a run (harness/workload) passes what is sound and finds what is not.
    await server.sql('CREATE EXTENSION amcheck');
    t.true((await server.sql(listPostgresqlTables)).includes('public.t1'));
    t.is((await server.sql(checkPostgresqlTable('public.t1'))).trim(), '');
    const [relation = ''] = (await server.sql("SELECT pg_relation_filepath('t1')")).split('\n');
    const place = `/proc/${server.pid}/root/var/lib/postgresql/${relation}`;
    await evictAll(server);
    await breakTuple(place, 2);
    // A page whose checksum is wrong is not even read.
    const found = /lacks matching index tuple|invalid page in block 2/;
    const error = await t.throwsAsync(server.sql(checkPostgresqlTable('public.t1')), { message: found });
    const judged = judgePostgresqlError('public.t1', error.message);
    t.false(judged?.ok);
    t.regex(judged?.message ?? '', found);
  });
}

async function evictAll(server: ScratchServer): Promise<void> {
  await server.sql(
    'SELECT COUNT(pg_buffercache_evict(bufferid)) FROM pg_buffercache WHERE relfilenode IS NOT NULL',
  );
}

/** Has the first tuple of a block begin its data beyond its end (t_hoff of HeapTupleHeaderData). */
async function breakTuple(path: string, block: number): Promise<void> {
  const file = await open(path, 'r+');
  try {
    const pointer = Buffer.alloc(4);
    await file.read(pointer, 0, pointer.length, block * 8192 + 24);
    const tuple = pointer.readUInt32LE(0) & 0x7fff;
    await file.write(Buffer.from([255]), 0, 1, block * 8192 + tuple + 22);
  } finally {
    await file.close();
  }
}
