import { deflateSync } from 'node:zlib';
import test from 'ava';
import fc from 'fast-check';
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import { decodePageList, decodePageListInSlices, encodePageList } from './page-list-codec.ts';
import { unpackAll } from './packed-runs.ts';
import type { PageList, PageSource } from './page-list.ts';

const sources: readonly PageSource[] = [
  { kind: 'disk', disk: 'pool0' },
  { kind: 'file', fileSystem: 'nas:/export', path: 'mysql/sbtest/sbtest1.ibd' },
];

interface Run {
  readonly source: number;
  readonly block: number;
  readonly frame: number;
  readonly count: number;
  /** 1 if it is. */
  readonly cold?: number;
}

function listOf(runs: readonly Run[], listSources = sources): PageList {
  const sorted = [...runs].sort(
    (a, b) => (a.cold ?? 0) - (b.cold ?? 0) || a.source - b.source || a.block - b.block,
  );
  return {
    sources: listSources,
    runs: {
      firstColdRun: sorted.filter(({ cold }) => cold !== 1).length,
      sourceIndex: Uint16Array.from(sorted, (run) => run.source),
      storageBlock: Uint32Array.from(sorted, (run) => run.block),
      guestFrame: Uint32Array.from(sorted, (run) => run.frame),
      count: Uint16Array.from(sorted, (run) => run.count),
    },
    pageCount: sorted.reduce((sum, run) => sum + run.count, 0),
    guestRam: [
      [1, 158],
      [256, 0x3ffff],
    ],
    timings: { findMs: 1.5, translateMs: 2, mapMs: 0, encodeMs: 0 },
    leftOut: {},
    failures: [],
    server: {
      product: 'mariadb',
      version: '10.11.19-MariaDB',
      method: 'descriptors',
      cachedPages: 10,
      dirtyPages: 2,
      excludedPages: 1,
    },
  };
}

const anyRun = fc
  .record({
    source: fc.nat(1),
    block: fc.nat(0xffff_ffff),
    frame: fc.nat(0xffff_ffff),
    count: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 0xffff })),
    cold: fc.nat(1),
  })
  .map((run) => ({
    ...run,
    block: Math.min(run.block, 2 ** 32 - run.count),
    frame: Math.min(run.frame, 2 ** 32 - run.count),
  }));

/** Pages as InnoDB leaves them: 4 blocks side by side on the disk, in memory in one or more pieces. */
function poolList(pages: number, cold = (_page: number): number => 0): PageList {
  const runs: Run[] = [];
  let frame = 5000;
  const add = (page: number, run: Run): void => {
    runs.push({ ...run, cold: cold(page) });
  };
  for (let page = 0; page < pages; page++) {
    if (page % 64 === 0) frame = 1000 + ((page * 7919) % 900_000);
    if (page % 2 === 0) add(page, { source: 0, block: 100 + 4 * page, frame, count: 4 });
    else {
      add(page, { source: 0, block: 100 + 4 * page, frame, count: 1 });
      add(page, { source: 0, block: 101 + 4 * page, frame: frame + 9, count: 3 });
    }
    frame += 4;
  }
  return listOf(runs);
}

function code(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (isCoded(error, 'page-list')) return error.code;
    throw error;
  }
  return 'no error';
}

test('a list survives encoding and decoding', (t) => {
  fc.assert(
    fc.property(fc.array(anyRun, { maxLength: 60 }), (runs) => {
      const list = listOf(runs);
      const decoded = decodePageList(
        encodePageList(list, () => 0),
        { maxPages: 2 ** 26 },
      );
      t.deepEqual({ ...decoded, runs: unpackAll(decoded.runs) }, list);
      const coldPages = runs.reduce((sum, { count, cold }) => sum + count * cold, 0);
      t.is(decoded.runs.coldPages, coldPages);
    }),
    { numRuns: 300 },
  );
});

test('of which programs it is not known what is cold comes through, also that nobody asked', (t) => {
  const of = (heat: Pick<PageList, 'heatUnknown'>): unknown =>
    decodePageList(encodePageList({ ...listOf([]), ...heat })).heatUnknown;
  t.is(of({}), undefined);
  t.deepEqual(of({ heatUnknown: [] }), []);
  t.deepEqual(of({ heatUnknown: ['mysql 9 (pid 2): why'] }), ['mysql 9 (pid 2): why']);
  t.is(
    code(() => of({ heatUnknown: ['x'.repeat(257)] })),
    'malformed',
  );
  t.is(
    code(() => of({ heatUnknown: Array.from({ length: 65 }, () => '') })),
    'malformed',
  );
});

test('a list without cold pages is one that hosts without cold pages read, and no other is', (t) => {
  const run = { source: 0, block: 8, frame: 300, count: 4 };
  t.is(encodePageList(listOf([run])).readUInt32LE(4), 1);
  t.is(encodePageList(listOf([run, { ...run, cold: 1 }])).readUInt32LE(4), 2);
});

test('the time of encoding is noted in the list', (t) => {
  let ms = 100;
  const bytes = encodePageList(listOf([]), () => (ms += 7));
  t.is(decodePageList(bytes).timings.encodeMs, 7);
});

test('what is written of a source’s cold runs is taken at its word, and not beyond', (t) => {
  const runs = [0, 0, 1, 1, 1].map((cold, index) => ({
    ...{ source: 0, block: index % 3, frame: index, count: 1 },
    cold,
  }));
  const bytes = encodePageList(listOf(runs));
  const metadataBytes = bytes.readUInt32LE(8);
  const withCounts = (hotRuns: unknown, coldRuns: unknown): Buffer => {
    const metadata = JSON.parse(bytes.subarray(24, 24 + metadataBytes).toString()) as {
      sources: Record<string, unknown>[];
    };
    Object.assign(metadata.sources[0] ?? {}, { runs: hotRuns, coldRuns });
    const text = Buffer.from(JSON.stringify(metadata));
    const header = Buffer.from(bytes.subarray(0, 24));
    header.writeUInt32LE(text.length, 8);
    return Buffer.concat([header, text, bytes.subarray(24 + metadataBytes)]);
  };
  t.is(decodePageList(withCounts(2, 3)).runs.coldPages, 3);
  t.is(decodePageList(withCounts(5, 0)).runs.coldPages, 0);
  const wrong = [
    [2, 2],
    [2, 4],
    [5, -1],
    [-1, 6],
    [2, 3.5],
    [2, '3'],
    [2 ** 53, 3],
  ] as const;
  for (const [hotRuns, coldRuns] of wrong)
    t.is(
      code(() => decodePageList(withCounts(hotRuns, coldRuns))),
      'malformed',
      `${hotRuns} and ${coldRuns}`,
    );
});

test('bytes made by hand after the description of the format decode', (t) => {
  const metadata = Buffer.from(
    JSON.stringify({
      ...listOf([]),
      runs: undefined,
      pageCount: undefined,
      sources: [{ kind: 'disk', disk: 'vda', runs: 2 }],
    }),
  );
  // Blocks 300-303 and 304: gaps +300 (zigzag 600 = 0xd8 0x04) and 0; counts 4 and 1; frames 10, then 14 - 9 (zigzag 17).
  const raw = Buffer.from([0xd8, 0x04, 0, 3, 0, 20, 17]);
  const body = deflateSync(raw);
  const header = Buffer.alloc(24);
  header.write('PSPL', 'latin1');
  for (const [index, value] of [1, metadata.length, 2, raw.length, body.length].entries())
    header.writeUInt32LE(value, 4 + 4 * index);
  const list = decodePageList(Buffer.concat([header, metadata, body]));
  const { storageBlock, count, guestFrame } = unpackAll(list.runs);
  t.deepEqual([...storageBlock], [300, 304]);
  t.deepEqual([...count], [4, 1]);
  t.deepEqual([...guestFrame], [10, 5]);
  t.is(list.pageCount, 5);
  t.is(list.runs.firstColdRun, 2);
});

test('a list cut at any byte, or with a byte too many, is refused', (t) => {
  const bytes = encodePageList(poolList(40, (page) => (page % 3) >> 1));
  for (let length = 0; length < bytes.length; length++) {
    t.is(
      code(() => decodePageList(bytes.subarray(0, length))),
      'malformed',
      `cut at ${length}`,
    );
  }
  t.is(
    code(() => decodePageList(Buffer.concat([bytes, Buffer.from([0])]))),
    'malformed',
  );
});

test('damaged bytes give a PageListError or a list within its limits, never anything else', (t) => {
  const bytes = encodePageList(poolList(20, (page) => (page % 3) >> 1));
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (position, mask) => {
      const damaged = Buffer.from(bytes);
      damaged.writeUInt8(damaged.readUInt8(position) ^ mask, position);
      try {
        decodePageList(damaged, { maxPages: 4096 });
      } catch (error) {
        if (!isCoded(error, 'page-list')) throw error;
      }
    }),
    { numRuns: 2000 },
  );
  t.pass();
});

test('columns of random bytes are refused or decode to a list in storage order', (t) => {
  const run = { source: 0, block: 1, frame: 1, count: 1 };
  const template = encodePageList(listOf([run, { ...run, cold: 1 }]));
  const metadataBytes = template.readUInt32LE(8);
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 6, maxLength: 26 }), (raw) => {
      const body = deflateSync(raw);
      const header = Buffer.from(template.subarray(0, 24));
      header.writeUInt32LE(raw.length, 16);
      header.writeUInt32LE(body.length, 20);
      try {
        const list = decodePageList(Buffer.concat([header, template.subarray(24, 24 + metadataBytes), body]));
        const { storageBlock, count } = unpackAll(list.runs);
        t.true([0, 1].every((index) => (storageBlock[index] ?? NaN) + (count[index] ?? NaN) <= 2 ** 32));
        t.is(list.runs.coldPages, count[1] ?? NaN);
      } catch (error) {
        if (!isCoded(error, 'page-list')) throw error;
      }
    }),
    { numRuns: 2000 },
  );
  t.pass();
});

test('a list larger than its limits is refused before anything of its size is allocated', (t) => {
  const bytes = encodePageList(poolList(1000));
  t.is(
    code(() => decodePageList(bytes, { maxPages: 3999 })),
    'too-large',
  );
  t.is(decodePageList(bytes, { maxPages: 4000 }).pageCount, 4000);
  const lying = Buffer.from(bytes);
  lying.writeUInt32LE(0xffff_ffff, 12);
  t.is(
    code(() => decodePageList(lying)),
    'too-large',
  );
  // Columns that alone would take a large part of the host's memory.
  const wide = Buffer.from(bytes);
  wide.writeUInt32LE(2 ** 27, 12);
  wide.writeUInt32LE(2 ** 30, 16);
  t.is(
    code(() => decodePageList(wide)),
    'too-large',
  );
  // A zip bomb: 64 MiB of zeros behind a header that admits to 3 bytes a run.
  const body = deflateSync(Buffer.alloc(64 * 1024 * 1024));
  const header = Buffer.from(bytes.subarray(0, 24));
  header.writeUInt32LE(2, 12);
  header.writeUInt32LE(6, 16);
  header.writeUInt32LE(body.length, 20);
  const bomb = Buffer.concat([header, bytes.subarray(24, 24 + bytes.readUInt32LE(8)), body]);
  t.is(
    code(() => decodePageList(bomb)),
    'malformed',
  );
});

test('cold runs in a list of the version that has none are refused', (t) => {
  const run = { source: 0, block: 1, frame: 2, count: 1 };
  const bytes = encodePageList(listOf([run, { ...run, cold: 1 }]));
  bytes.writeUInt32LE(1, 4);
  const error = t.throws(() => decodePageList(bytes), { instanceOf: CodedError });
  t.is(error.code, 'malformed');
  t.regex(error.message, /cold runs, which version 1 has not/);
});

test('another version is named in the error', (t) => {
  const bytes = encodePageList(listOf([]));
  bytes.writeUInt32LE(9, 4);
  const error = t.throws(() => decodePageList(bytes), { instanceOf: CodedError, name: 'PageListError' });
  t.is(error.code, 'unsupported-version');
  t.regex(error.message, /version 9/);
});

test('runs out of order are not encoded', (t) => {
  const list = listOf([
    { source: 0, block: 9, frame: 1, count: 1 },
    { source: 0, block: 20, frame: 5, count: 1 },
  ]);
  list.runs.storageBlock.reverse();
  t.is(
    code(() => encodePageList(list)),
    'unsorted',
  );
  // The second is cold, and may begin before the first.
  const runs = { ...list.runs, firstColdRun: 1 };
  t.is(decodePageList(encodePageList({ ...list, runs })).runs.coldPages, 1);
  t.is(
    code(() => encodePageList({ ...list, runs: { ...runs, firstColdRun: 3 } })),
    'unsorted',
  );
});

test('a page of the pool costs a few bytes', (t) => {
  const bytes = encodePageList(poolList(20_000));
  t.true(bytes.length / 20_000 < 5.5, `${bytes.length / 20_000} bytes a page`);
});

test('other events get their turn while a list is decoded', async (t) => {
  const bytes = encodePageList(poolList(40_000));
  let turns = 0;
  const count = (): void => {
    turns += 1;
    timer = setImmediate(count);
  };
  let timer = setImmediate(count);
  const { pageCount, runs } = await decodePageListInSlices(bytes);
  clearImmediate(timer);
  t.is(pageCount, 160_000);
  t.true(turns >= runs.length / 4096, `${turns} turns`);
  await t.throwsAsync(decodePageListInSlices(bytes.subarray(0, -1)), {
    instanceOf: CodedError,
    name: 'PageListError',
  });
});

test('names and sources beyond what an engine takes are refused', (t) => {
  const named = (disk: string): string =>
    code(() => decodePageList(encodePageList(listOf([], [{ kind: 'disk', disk }]))));
  t.is(named('x'.repeat(256)), 'no error');
  t.is(named('x'.repeat(257)), 'malformed');
  const of = (count: number): string =>
    code(() =>
      decodePageList(
        encodePageList(
          listOf(
            [],
            Array.from({ length: count }, () => ({ kind: 'disk', disk: 'a' })),
          ),
        ),
      ),
    );
  t.is(of(4096), 'no error');
  t.is(of(4097), 'malformed');
});

test('a few bytes that stand for more pages than this host has memory are refused', (t) => {
  const runs = Array.from({ length: 4096 }, () => ({ source: 0, block: 0, frame: 0, count: 65_535 }));
  const bytes = encodePageList(listOf(runs.map((run, index) => ({ ...run, block: index * 65_535 }))));
  // As the limit of a host with 256 GiB.
  t.is(
    code(() => decodePageList(bytes, { maxPages: 2 ** 26 })),
    'too-large',
  );
});

test('what a list leaves out, and what failed, comes through; reasons of a newer agent are passed over', (t) => {
  const list = listOf([{ source: 0, block: 8, frame: 300, count: 4 }]);
  const leftOut = { dirty: 12, lvm: 400 };
  const failures = [{ program: 'mysql 9 (pid 2)', code: 'internal', message: 'EIO' }];
  const newer = { ...leftOut, 'on-the-moon': 3 };
  const decoded = decodePageList(encodePageList({ ...list, leftOut: newer, failures }));
  t.deepEqual(decoded.leftOut, leftOut);
  t.deepEqual(decoded.failures, failures);
});
