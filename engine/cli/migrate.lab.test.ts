/**
 * The engine's command line between two real QEMUs: memory is compared byte by byte, lists lie, engines are killed. About
 * 90 seconds; needs root and QEMU 9 or newer.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import xxhash from 'xxhash-wasm';
import type { PageList } from '../list/page-list.ts';
import { twins } from '../list/xxh64-twins.fixture.ts';
import type { EngineCounters } from '../core/engine-event.ts';
import { findQemu } from '../../qemu/find-qemu.ts';
import { startNbdServer } from './testing/nbd-server.ts';
import {
  type CachedRun,
  type EngineProcess,
  listOf,
  type PairOptions,
  type VmPair,
  withVirtioMem,
  withVmPair,
} from './testing/vm-pair.ts';

const xxh64 = await xxhash();
const MiB = 1024 * 1024;
const pagesPerMiB = 256;
const ramBytes = 192 * MiB;
const diskBytes = 96 * MiB;
const cachedFromPage = 32 * pagesPerMiB;
const cachedGroups = (64 * pagesPerMiB) / 4;

/** The disk's blocks from 1 MiB on, four at a time, at places of memory that follow no order. */
const cachedRuns: CachedRun[] = Array.from({ length: cachedGroups }, (_, group) => ({
  block: pagesPerMiB + group * 4,
  page: cachedFromPage + ((group * 1031) % cachedGroups) * 4,
  count: 4,
}));

const quiet = { startBytes: 160 * MiB, endBytes: 161 * MiB, strideBytes: 4096, delayRounds: 200_000 };
const modern = ['return-path', 'switchover-ack'] as const;

const installation = findQemu()?.installation;
const serially = installation === undefined ? test.serial.skip : test.serial;

function withPair(
  t: ExecutionContext,
  options: Partial<PairOptions>,
  body: (pair: VmPair) => Promise<void>,
): Promise<void> {
  t.timeout(15 * 60_000);
  const usual = { ramBytes, diskBytes, program: quiet, capabilities: modern };
  return withVmPair(installation, { ...usual, ...options }, body);
}

function counters(engine: EngineProcess): EngineCounters {
  const done = engine.events.find(({ event }) => event === 'done');
  if (done?.event !== 'done') throw new Error('the engine is not done');
  return done;
}

serially('listed pages come from storage, and memory is the same', async (t) => {
  await withPair(t, {}, async (pair) => {
    pair.cache(cachedRuns);
    const { source } = await pair.startEngines(listOf(cachedRuns, ramBytes), {
      source: ['--list-at', 'start'],
    });
    await pair.migrate();
    await pair.completed();
    t.deepEqual(pair.differingPages(), []);
    const sums = counters(source);
    t.is(sums.pages_restored, sums.pages_planned);
    t.true(sums.pages_restored > 0.9 * cachedGroups * 4, `${sums.pages_restored} pages restored`);
    t.true(sums.migration_link_bytes < 16 * MiB, `${sums.migration_link_bytes} bytes on the migration link`);
  });
});

for (const [targetMemory, how] of [
  ['file', 'file'],
  ['memfd', 'file'],
  ['anonymous', 'process'],
] as const) {
  serially(
    `pages are placed into the target's memory (${targetMemory}) while the guest writes them`,
    async (t) => {
      const busy = { startBytes: 32 * MiB, endBytes: 36 * MiB, strideBytes: 8192, delayRounds: 100_000 };
      await withPair(t, { program: busy, targetMemory }, async (pair) => {
        pair.cache(cachedRuns);
        const nbd = await startNbd(pair, 20 * MiB);
        try {
          const { destination } = await pair.startEngines(listOf(cachedRuns, ramBytes), {
            source: ['--strategy', 'balance', '--leave-out', 'always'],
            storage: nbd.location,
          });
          await pair.migrate();
          await pair.completed();
          t.deepEqual(pair.differingPages(), []);
          t.is((await destination.event('placing')).how, how);
          const { pages_placed, pages_streamed, pages_restored } = counters(destination);
          t.true(
            pages_placed > pages_restored / 2,
            `${pages_placed} pages placed of ${pages_restored} restored`,
          );
          t.true(pages_streamed > 0);
        } finally {
          await nbd.stop();
        }
      });
    },
  );
}

for (const [place, reason] of [
  ['pid', /^what was found as its memory holds already what is sent$/],
  ['file', /^cannot open the target's memory, /],
] as const) {
  serially(
    `where the target's memory is not what --target-ram ${place} says, pages go through its stream`,
    async (t) => {
      await withPair(t, {}, async (pair) => {
        pair.cache(cachedRuns);
        // The source's memory, or none.
        const targetRam = place === 'pid' ? `pid:${pair.source.pid ?? 0}` : `file:${pair.folder}/nothing`;
        const { destination } = await pair.startEngines(listOf(cachedRuns, ramBytes), {
          destination: ['--target-ram', targetRam],
        });
        await pair.migrate();
        await pair.completed();
        t.deepEqual(pair.differingPages(), []);
        t.regex((await destination.event('not-placing')).reason, reason);
        t.is(counters(destination).pages_placed, 0);
      });
    },
  );
}

serially('a list that lies costs time and nothing else', async (t) => {
  await withPair(t, {}, async (pair) => {
    // What is listed of the second half is not what memory holds: stale, or of another place on the disk.
    const half = cachedRuns.length / 2;
    pair.cache(cachedRuns.slice(0, half));
    pair.cache(cachedRuns.slice(half).map((run) => ({ ...run, block: run.block - 16 })));
    const list = lie(listOf(cachedRuns, ramBytes));
    // Guest memory is found in QEMU's process here, without being told of the file.
    const { source } = await pair.startEngines(list, { ram: `pid:${pair.source.pid ?? 0}` });
    await pair.migrate();
    await pair.completed();
    t.deepEqual(pair.differingPages(), []);
    const accepted = await source.event('accepted');
    t.is(accepted.refused_beyond_ram, 3 * 4);
    t.is(accepted.refused_duplicate_frame, 2 * 4);
    t.is(accepted.refused_unknown_source, 4);
    t.is(accepted.refused_beyond_storage, 2 * 4);
    const sums = counters(source);
    t.is(sums.pages_restored + sums.pages_mismatched + sums.pages_cancelled, sums.pages_planned);
    t.true(sums.pages_mismatched > 0.8 * half * 4, `${sums.pages_mismatched} pages mismatched`);
    t.true(sums.pages_sent_after_all >= sums.pages_mismatched);
  });
});

serially(
  'stale blocks that were made to have the XXH64 of what memory holds do not pass for it',
  async (t) => {
    await withPair(t, {}, async (pair) => {
      const runs = cachedRuns.slice(0, 512);
      const written: [at: number, page: Buffer][] = [];
      const disk = openSync(pair.diskPath, 'r+');
      let equalByXxh64 = 0;
      for (const { block, count } of runs) {
        for (let page = block; page < block + count; page++) {
          const [cached, stale] = twins(randomBytes(4096), 8 * (page % 500), BigInt(page));
          if (xxh64.h64Raw(cached) === xxh64.h64Raw(stale)) equalByXxh64 += 1;
          writeSync(disk, cached, 0, 4096, page * 4096);
          written.push([page * 4096, stale]);
        }
      }
      pair.cache(runs);
      for (const [at, page] of written) writeSync(disk, page, 0, 4096, at);
      closeSync(disk);
      t.true(equalByXxh64 > written.length / 4, `${equalByXxh64} of ${written.length}`);
      const { source } = await pair.startEngines(listOf(runs, ramBytes), {
        source: ['--list-at', 'start'],
      });
      await pair.migrate();
      await pair.completed();
      t.deepEqual(pair.differingPages(), []);
      t.is(counters(source).pages_restored, 0);
    });
  },
);

/** Adds entries that no honest agent makes. Runs stay in storage order, which the list's format demands. */
function lie(list: PageList): PageList {
  const pages = ramBytes / 4096;
  const blocks = diskBytes / 4096;
  // One that QEMU has not sent yet when the list is there.
  const lastCachedPage = cachedFromPage + 4 * (cachedGroups - 1);
  const runs: readonly (readonly [source: number, block: number, frame: number])[] = [
    [0, blocks - 40, pages],
    [0, blocks - 36, 0x100000],
    [0, blocks - 32, 0xfffff000],
    [0, blocks - 28, lastCachedPage],
    [0, blocks - 24, lastCachedPage],
    [0, blocks, 150 * pagesPerMiB],
    [0, 0xfffff000, 151 * pagesPerMiB],
    [1, 0, 152 * pagesPerMiB],
  ];
  const join = (column: Uint32Array, more: number[]): Uint32Array => Uint32Array.from([...column, ...more]);
  return {
    ...list,
    sources: [...list.sources, { kind: 'file', fileSystem: 'server:/export', path: '../../etc/passwd' }],
    pageCount: list.pageCount + 4 * runs.length,
    runs: {
      firstColdRun: list.runs.count.length + runs.length,
      sourceIndex: Uint16Array.from([...list.runs.sourceIndex, ...runs.map(([source]) => source)]),
      storageBlock: join(
        list.runs.storageBlock,
        runs.map(([, block]) => block),
      ),
      guestFrame: join(
        list.runs.guestFrame,
        runs.map(([, , frame]) => frame),
      ),
      count: Uint16Array.from([...list.runs.count, ...runs.map(() => 4)]),
    },
  };
}

serially('both links share the pages, while the guest writes them, without help from QEMU', async (t) => {
  const busy = { startBytes: 32 * MiB, endBytes: 64 * MiB, strideBytes: 8192, delayRounds: 100_000 };
  await withPair(t, { program: busy, capabilities: [] }, async (pair) => {
    pair.cache(cachedRuns);
    const nbd = await startNbd(pair, 20 * MiB);
    try {
      const { source } = await pair.startEngines(listOf(cachedRuns, ramBytes), {
        source: ['--strategy', 'balance', '--leave-out', 'always'],
        storage: nbd.location,
      });
      await pair.migrate();
      await pair.completed();
      t.deepEqual(pair.differingPages(), []);
      const sums = counters(source);
      t.true(sums.pages_restored > 1000, `${sums.pages_restored} pages restored`);
      t.true(sums.pages_sent_after_all > 1000, `${sums.pages_sent_after_all} pages sent after all`);
    } finally {
      await nbd.stop();
    }
  });
});

serially('balance decides by what is scarce here, and memory is the same', async (t) => {
  const busy = { startBytes: 32 * MiB, endBytes: 36 * MiB, strideBytes: 8192, delayRounds: 100_000 };
  await withPair(t, { program: busy }, async (pair) => {
    pair.cache(cachedRuns);
    const { source } = await pair.startEngines(listOf(cachedRuns, ramBytes), {
      source: ['--strategy', 'balance'],
    });
    await pair.migrate();
    await pair.completed();
    t.deepEqual(pair.differingPages(), []);
    const scarce = source.events.filter((event) => event.event === 'scarce');
    t.log(JSON.stringify(scarce));
    const noList = source.events.find((event) => event.event === 'no-list');
    // Where it is not the link, or there was no time to find out.
    if (scarce.every(({ what }) => what === 'processors')) t.is(noList?.code, 'not-needed');
    else t.true(noList === undefined || noList.code === 'too-late');
  });
});

function startNbd(pair: VmPair, bytesPerSecond: number): ReturnType<typeof startNbdServer> {
  if (installation === undefined) throw new Error('no QEMU');
  return startNbdServer(installation, pair.diskPath, path.join(pair.folder, 'nbd'), bytesPerSecond);
}

serially('a stream that cannot be filtered is passed through', async (t) => {
  // virtio-mem's state comes before RAM is complete.
  await withPair(t, { arguments: { source: withVirtioMem, target: withVirtioMem } }, async (pair) => {
    const { source } = await pair.startEngines(undefined, { source: ['--compress', 'zstd'] });
    await pair.migrate();
    t.is((await source.event('stream-unfilterable')).code, 'early-device-state');
    await pair.completed();
    t.deepEqual(pair.differingPages(), []);
  });
});

for (const victim of ['source', 'destination'] as const) {
  serially(`the VM runs on at the source when the ${victim} engine is killed`, async (t) => {
    await withPair(t, { targetStarts: true }, async (pair) => {
      pair.cache(cachedRuns);
      const nbd = await startNbd(pair, 4 * MiB);
      try {
        const engines = await pair.startEngines(listOf(cachedRuns, ramBytes), { storage: nbd.location });
        await pair.migrate();
        await engines.source.event('gate-held');
        engines[victim].kill('SIGKILL');
        const survivor = engines[victim === 'source' ? 'destination' : 'source'];
        t.is(await survivor.ended, 1);
        t.is((await survivor.event('failed')).code, 'closed');
        await t.throwsAsync(pair.source.waitForMigration(() => false));
        t.like(await pair.source.execute('query-status'), { status: 'running' });
        // The target gives up, or still waits for the rest of a stream that will not come; it never runs.
        await sleep(500);
        const target = await pair.target.execute('query-status').catch(() => ({ status: 'ended' }));
        t.regex((target as { status: string }).status, /^(ended|inmigrate|internal-error|shutdown)$/);
      } finally {
        await nbd.stop();
      }
    });
  });
}

serially('SIGTERM ends the migration on both sides, and the VM runs on', async (t) => {
  await withPair(t, { targetStarts: true }, async (pair) => {
    pair.cache(cachedRuns);
    const nbd = await startNbd(pair, 4 * MiB);
    try {
      const { source, destination } = await pair.startEngines(listOf(cachedRuns, ramBytes), {
        storage: nbd.location,
      });
      await pair.migrate();
      await source.event('gate-held');
      source.kill('SIGTERM');
      t.is(await source.ended, 130);
      t.is(await destination.ended, 1);
      t.like(await destination.event('failed'), { code: 'peer-aborted', peer: true });
      await t.throwsAsync(pair.source.waitForMigration(() => false));
      t.like(await pair.source.execute('query-status'), { status: 'running' });
    } finally {
      await nbd.stop();
    }
  });
});
