import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { totalmem } from 'node:os';
import test from 'ava';
import { decodePageList, encodePageList } from '../../engine/list/page-list-codec.ts';
import { emptyRuns } from '../../engine/list/page-list.ts';
import type { DevicePlace } from './block-device.ts';
import { Deadline, listMs } from './deadline.ts';
import { GuestError } from './guest-error.ts';
import { describeServers, listPages, onServersDisks } from './list-pages.ts';
import type { CachedPages, CachingProgram, FramePages } from './page-finder.ts';

const nothingCached: CachedPages = {
  pid: process.pid,
  pageSizeBytes: 16_384,
  count: 0,
  address: new Float64Array(0),
  file: new Uint32Array(0),
  page: new Uint32Array(0),
  cold: new Uint8Array(0),
  files: [],
  server: {
    product: 'other',
    version: '1',
    method: 'descriptors',
    cachedPages: 0,
    dirtyPages: 0,
    excludedPages: 0,
  },
  leftOut: {},
};

test('a request that comes while pages are found is read before the next phase', async (t) => {
  const log: string[] = [];
  const program = (name: string): CachingProgram => ({
    pid: process.pid,
    description: name,
    isReady: () => true,
    writeDirtyPages: async () => undefined,
    findPages: async () => {
      log.push(`find pages of ${name}`);
      setImmediate(() => log.push('read a request'));
      return {
        ...nothingCached,
        // What the next phase asks for first.
        get address() {
          if (log.at(-1) !== 'translate') log.push('translate');
          return nothingCached.address;
        },
      };
    },
  });
  await t.throwsAsync(listPages([program('one')]), { instanceOf: GuestError });
  t.deepEqual(log.slice(0, 3), ['find pages of one', 'read a request', 'translate']);
});

test('servers that give nothing are all named, with their reasons', async (t) => {
  const failing = (description: string, error: Error): CachingProgram => ({
    pid: process.pid,
    description,
    isReady: () => true,
    writeDirtyPages: async () => undefined,
    findPages: async () => {
      throw error;
    },
  });
  const error = await t.throwsAsync(
    listPages([
      failing('mariadb 11 (pid 1)', new GuestError('unknown-layout', 'no cached page was found')),
      failing('mysql 9 (pid 2)', new Error('EIO')),
    ]),
    { instanceOf: GuestError },
  );
  t.is(error.message, 'mariadb 11 (pid 1): no cached page was found; mysql 9 (pid 2): EIO');
});

test('a kernel that shows no page cache is no reason to do without the servers, nor why there is no list', async (t) => {
  const kernel: CachingProgram<FramePages> = {
    pid: process.pid,
    isKernel: true,
    description: 'the page cache',
    isReady: () => false,
    writeDirtyPages: async () => undefined,
    findPages: async () => {
      throw new GuestError('not-permitted', 'locked down');
    },
  };
  const error = await t.throwsAsync(listPages([kernel]), { instanceOf: GuestError });
  t.is(error.code, 'no-server');
  t.regex(error.message, /no program runs/);
  const { isKernel: _not, ...server } = { ...kernel, description: 'mariadb' };
  const both = await t.throwsAsync(listPages([kernel, server]), { instanceOf: GuestError });
  t.is(both.message, 'the page cache: locked down; mariadb: locked down');
});

test('of the page cache, what lies where servers have pages', (t) => {
  const on = (disk: string): DevicePlace => ({ source: { kind: 'disk', disk }, firstBlock: 0 });
  const volume = (...places: readonly DevicePlace[]): DevicePlace => ({
    pieces: places.map((place, index) => ({
      ...{ firstBlock: 8 * index, count: 8, chunkBlocks: 8 },
      stripes: [{ place, firstBlock: 0 }],
    })),
  });
  const extents = [{ logicalBlock: 0, physicalBlock: 0, count: 1 }];
  const at = (place: DevicePlace) => ({ place, extents, otherwise: 'unwritten' as const });
  const { address: _none, server, ...pages } = nothingCached;
  const frames = new Uint32Array(0);
  const both = volume(on('vdb'), on('vdc'));
  const kernel = {
    ...{ pages, frames },
    locations: [at(on('vda')), at(volume(on('vda'), on('vdb'))), at(on('vdc')), at(both)],
  };
  const mariadb = { pages: { ...pages, server }, frames, locations: [at(both)] };
  t.deepEqual(onServersDisks([mariadb, kernel]), [
    mariadb,
    {
      ...kernel,
      locations: [{ leftOut: 'other-disk' }, { leftOut: 'other-disk' }, at(on('vdc')), at(both)],
    },
  ]);
  const nowhere = { ...mariadb, locations: [{ leftOut: 'raid' as const }] };
  t.deepEqual(onServersDisks([nowhere, kernel]), [nowhere, kernel]);
});

test('of more pages than this machine has memory, as where some are swapped out, the first are looked at', async (t) => {
  const inMemory = Math.floor(totalmem() / nothingCached.pageSizeBytes);
  const count = inMemory + 3;
  const program: CachingProgram = {
    pid: process.pid,
    description: 'mysql 9',
    isReady: () => true,
    writeDirtyPages: async () => undefined,
    findPages: async () => ({
      ...{ ...nothingCached, count, files: ['/nowhere'] },
      ...{ file: new Uint32Array(count), page: new Uint32Array(count), address: new Float64Array(count) },
    }),
  };
  const error = await t.throwsAsync(listPages([program], [], { maxPages: Infinity }), {
    instanceOf: GuestError,
  });
  t.is(error.code, 'unsupported-storage');
  t.regex(
    error.message,
    new RegExp(`: ${inMemory * 4} pages of 4 KiB their file is gone; 12 pages of 4 KiB beyond`),
  );
});

test('of more files than there is room for the first are looked at', async (t) => {
  const files = Array.from({ length: 300_002 }, (_, index) => `/nowhere/${index}`);
  const count = files.length;
  const program: CachingProgram = {
    pid: process.pid,
    description: 'mysql 9',
    isReady: () => true,
    writeDirtyPages: async () => undefined,
    findPages: async () => ({
      ...{ ...nothingCached, count, files, pageSizeBytes: 4096, address: new Float64Array(count) },
      ...{ file: Uint32Array.from(files.keys()), page: new Uint32Array(count) },
    }),
  };
  const error = await t.throwsAsync(listPages([program], [], { maxPages: Infinity }), {
    instanceOf: GuestError,
  });
  t.regex(error.message, /: 300000 pages of 4 KiB their file is gone; 2 pages of 4 KiB beyond/);
});

test('of more pages than the agent has memory for the first are looked at, the others counted', async (t) => {
  const asked: (number | undefined)[] = [];
  const count = 1000;
  const pages = { ...nothingCached, count, file: new Uint32Array(count), page: new Uint32Array(count) };
  const server: CachingProgram = {
    pid: process.pid,
    description: 'mysql 9',
    isReady: () => true,
    writeDirtyPages: async () => undefined,
    findPages: async (_, maxPages) => {
      asked.push(maxPages);
      return { ...pages, files: ['/nowhere'], address: new Float64Array(count).fill(4096) };
    },
  };
  const kernel: CachingProgram<FramePages> = {
    ...server,
    isKernel: true,
    findPages: async (_, maxPages) => {
      asked.push(maxPages);
      const { address: _none, server: _neither, ...others } = pages;
      return { ...others, pageSizeBytes: 4096, files: ['/nowhere'], frames: new Uint32Array(count) };
    },
  };
  const error = await t.throwsAsync(listPages([server, kernel], [], { maxPages: 1200 }), {
    instanceOf: GuestError,
  });
  // Of 1000 pages of 4 KiB 600, of 1000 of 16 KiB 150.
  t.deepEqual(asked, [600, 600]);
  t.regex(error.message, /^no cached page .*: 3800 pages of 4 KiB beyond what a list can name/);
  t.regex(error.message, /; 1200 pages of 4 KiB their file is gone/);
});

test('any number of servers of any version gives a list that the host takes', (t) => {
  const version = `10.11.19-MariaDB${'x'.repeat(80)}`;
  const { address: _none, server, ...pages } = nothingCached;
  const located = Array.from({ length: 16 }, () => ({
    pages: { ...pages, server: { ...server, version } },
    frames: new Uint32Array(0),
    locations: [],
  }));
  const list = encodePageList({
    sources: [],
    runs: emptyRuns(0),
    pageCount: 0,
    guestRam: [],
    timings: { findMs: 0, translateMs: 0, mapMs: 0, encodeMs: 0 },
    server: describeServers(located),
    leftOut: {},
    failures: [],
  });
  t.true(decodePageList(list).server.version.startsWith(`${version}, ${version}`));
});

/** Programs that take as long as they are given, or 1 s; each notes when it was asked. */
function takingTime(order: string[]) {
  let nowMs = 0;
  const program = (
    description: string,
    more: Partial<CachingProgram>,
    isEndless: boolean,
  ): CachingProgram => ({
    pid: process.pid,
    description,
    isReady: () => true,
    writeDirtyPages: async () => undefined,
    findPages: async (deadline) => {
      order.push(description);
      nowMs += isEndless ? deadline.remainingMs + 1 : 1000;
      deadline.check();
      return nothingCached;
    },
    ...more,
  });
  return { program, deadline: new Deadline(listMs, () => nowMs), nowMs: () => nowMs };
}

test('however many programs take for ever, a list is made in its time, and the surest come first', async (t) => {
  const order: string[] = [];
  const { program, deadline, nowMs } = takingTime(order);
  const fakes = Array.from({ length: 32 }, (_, index) => program(`fake ${index}`, { userId: 1000 }, true));
  const programs = [
    ...fakes,
    program('mariadb', { userId: 101 }, false),
    program('of another user', { userId: 1001 }, false),
    program('page cache', { isKernel: true }, false),
  ];
  const error = await t.throwsAsync(listPages(programs, [], { deadline }), { instanceOf: GuestError });
  t.deepEqual(order.slice(0, 4), ['page cache', 'mariadb', 'fake 0', 'of another user']);
  t.is(order.length, programs.length);
  t.true(nowMs() <= listMs + programs.length, `${nowMs()} ms`);
  t.regex(error.message, /fake 0: its pages are not found within \d+ ms.*fake 31: its pages/);
  t.notRegex(error.message, /mariadb:|of another user:/);
});

test('what gave pages before is asked before what is new', async (t) => {
  const order: string[] = [];
  const { program, deadline } = takingTime(order);
  const other = spawn('sleep', ['60']);
  t.teardown(() => other.kill());
  await once(other, 'spawn');
  const known = program('known', { userId: 1000 }, false);
  await t.throwsAsync(listPages([known], [], { deadline }));
  const added = program('new', { userId: 101, pid: other.pid ?? 0 }, true);
  await t.throwsAsync(listPages([added, known], [], { deadline }));
  t.deepEqual(order, ['known', 'known', 'new']);
});
