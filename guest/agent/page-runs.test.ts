import test from 'ava';
import fc from 'fast-check';
import { decodePageList, encodePageList } from '../../engine/list/page-list-codec.ts';
import type { DevicePlace } from './block-device.ts';
import type { Extent } from './file-extents.ts';
import type { CachedPages } from './page-finder.ts';
import { buildRuns, type ListedRuns, type LocatedPages } from './page-runs.ts';
import { translateToFrames } from './pagemap.ts';

interface Page {
  readonly file: number;
  readonly page: number;
  readonly frames: readonly number[];
  readonly cold?: boolean;
}

const onDisk = (disk: string, firstBlock = 0): DevicePlace => ({
  source: { kind: 'disk', disk },
  firstBlock,
});

function located(
  pages: readonly Page[],
  files: readonly (readonly Extent[] | undefined)[],
  blocks = 4,
): LocatedPages {
  return {
    pages: cached(pages.length, blocks * 4096, {
      file: Uint32Array.from(pages, ({ file }) => file),
      page: Uint32Array.from(pages, ({ page }) => page),
      cold: Uint8Array.from(pages, ({ cold }) => (cold === true ? 1 : 0)),
      files: files.map((_, index) => `f${index}`),
    }),
    frames: Uint32Array.from(pages.flatMap(({ frames }) => frames)),
    locations: files.map((extents) =>
      extents === undefined ? { leftOut: 'lvm' } : { place: onDisk('d'), extents, otherwise: 'unwritten' },
    ),
  };
}

function cached(count: number, pageSizeBytes: number, more: Partial<CachedPages>): CachedPages {
  return {
    pid: 1,
    pageSizeBytes,
    count,
    address: new Float64Array(count),
    file: new Uint32Array(count),
    page: new Uint32Array(count),
    cold: new Uint8Array(count),
    files: [],
    server: {
      product: 'other',
      version: '',
      method: 'scan',
      cachedPages: 0,
      dirtyPages: 0,
      excludedPages: 0,
    },
    leftOut: {},
    ...more,
  };
}

function runsOf({ runs }: ListedRuns): number[][] {
  return [...runs.count].map((count, run) => [
    runs.sourceIndex[run] ?? NaN,
    runs.storageBlock[run] ?? NaN,
    runs.guestFrame[run] ?? NaN,
    count,
  ]);
}

test('pages come out in storage order, joined where disk and memory both go on', (t) => {
  const pages: Page[] = [
    { file: 1, page: 0, frames: [50, 51, 52, 53] },
    { file: 0, page: 2, frames: [10, 11, 80, 81] },
    { file: 0, page: 1, frames: [6, 7, 8, 9] },
  ];
  const files = [
    [{ logicalBlock: 0, physicalBlock: 1000, count: 100 }],
    [{ logicalBlock: 0, physicalBlock: 500, count: 100 }],
  ];
  t.deepEqual(runsOf(buildRuns([located(pages, files)])), [
    [0, 500, 50, 4],
    [0, 1004, 6, 6],
    [0, 1010, 80, 2],
  ]);
});

test('cold pages come last if that is asked for, in storage order like the hot ones before them', (t) => {
  const frames = (first: number): number[] => [first, first + 1, first + 2, first + 3];
  const pages: Page[] = [
    { file: 1, page: 0, frames: frames(50) },
    { file: 0, page: 0, frames: frames(100), cold: true },
    { file: 0, page: 2, frames: frames(108) },
    { file: 0, page: 1, frames: frames(104) },
    { file: 0, page: 3, frames: frames(112), cold: true },
    { file: 1, page: 1, frames: frames(54), cold: true },
  ];
  const files = [
    [{ logicalBlock: 0, physicalBlock: 1000, count: 100 }],
    [{ logicalBlock: 0, physicalBlock: 500, count: 100 }],
  ];
  const all = buildRuns([located(pages, files)]);
  t.deepEqual(runsOf(all), [
    [0, 500, 50, 8],
    [0, 1000, 100, 16],
  ]);
  t.is(all.runs.firstColdRun, 2);
  const hotFirst = buildRuns([located(pages, files)], true);
  t.deepEqual(runsOf(hotFirst), [
    [0, 500, 50, 4],
    [0, 1004, 104, 8],
    [0, 504, 54, 4],
    [0, 1000, 100, 4],
    [0, 1012, 112, 4],
  ]);
  t.is(hotFirst.runs.firstColdRun, 2);
  t.is(hotFirst.pageCount, 24);
});

test('hot and cold pages that lie on end are no run', (t) => {
  // The last hot page and the first cold one follow each other on the disk and in memory.
  const pages: Page[] = [
    { file: 0, page: 0, frames: [10, 11, 12, 13] },
    { file: 0, page: 1, frames: [14, 15, 16, 17], cold: true },
  ];
  const { runs } = buildRuns([located(pages, [[{ logicalBlock: 0, physicalBlock: 0, count: 8 }]])], true);
  t.deepEqual([...runs.count], [4, 4]);
  t.is(runs.firstColdRun, 1);
});

test('a page with a hole in its file, or that is not in the file yet, is left out whole', (t) => {
  const frames = [20, 21, 22, 23];
  const pages = [0, 1, 2, 3, 4].map((page): Page => ({
    file: 0,
    page,
    frames: frames.map((frame) => frame + 10 * page),
  }));
  // Page 0 whole; page 1 lacks its last block; page 2 is in two pieces; page 3 lacks all; page 4 is beyond the end.
  const extents = [
    { logicalBlock: 0, physicalBlock: 100, count: 7 },
    { logicalBlock: 8, physicalBlock: 300, count: 1 },
    { logicalBlock: 9, physicalBlock: 200, count: 3 },
  ];
  t.deepEqual(runsOf(buildRuns([located(pages, [extents])])), [
    [0, 100, 20, 4],
    [0, 200, 41, 3],
    [0, 300, 40, 1],
  ]);
});

test('frames that are not in RAM and files without a place are left out', (t) => {
  const pages: Page[] = [
    { file: 0, page: 0, frames: [20, 0, 22, 23] },
    { file: 1, page: 0, frames: [30, 31, 32, 33] },
  ];
  t.deepEqual(
    runsOf(buildRuns([located(pages, [[{ logicalBlock: 0, physicalBlock: 100, count: 4 }], undefined])])),
    [
      [0, 100, 20, 1],
      [0, 102, 22, 2],
    ],
  );
});

test('a disk on which files have a place and no page that is listed is not in the list', (t) => {
  const frames = [20, 21, 22, 23];
  const set = located(
    [
      { file: 0, page: 0, frames },
      { file: 1, page: 0, frames },
    ],
    [[], [{ logicalBlock: 0, physicalBlock: 100, count: 4 }]],
  );
  const [hole, whole] = set.locations;
  if (hole === undefined || whole === undefined || 'leftOut' in hole) throw new Error('no place');
  const listed = buildRuns([{ ...set, locations: [{ ...hole, place: onDisk('other') }, whole] }]);
  t.deepEqual(listed.sources, [{ kind: 'disk', disk: 'd' }]);
  t.deepEqual(runsOf(listed), [[0, 100, 20, 4]]);
  t.deepEqual(listed.leftOut, { unwritten: 4 });
});

test('what is not listed is counted, by its reason', (t) => {
  const frames = [20, 21, 22, 23];
  const pages: Page[] = [
    { file: 0, page: 0, frames: [20, 0, 22, 23] },
    { file: 0, page: 1, frames },
    { file: 1, page: 0, frames },
    { file: 2, page: 0, frames },
  ];
  const beyond = { logicalBlock: 0, physicalBlock: 2 ** 32 - 2, count: 4 };
  const { pageCount, leftOut } = buildRuns([
    located(pages, [[{ logicalBlock: 0, physicalBlock: 100, count: 6 }], undefined, [beyond]]),
  ]);
  t.is(pageCount, 3);
  t.deepEqual(leftOut, { 'not-in-memory': 1, unwritten: 4, lvm: 4, 'beyond-limits': 4 });
});

test('files that share their blocks, and pages that are in memory twice, come out in storage order all the same', (t) => {
  const shared = [{ logicalBlock: 0, physicalBlock: 100, count: 8 }];
  // A copy of the first file of which the file system moved the second half.
  const copy = [
    { logicalBlock: 0, physicalBlock: 100, count: 4 },
    { logicalBlock: 4, physicalBlock: 50, count: 4 },
  ];
  const first = located(
    [
      { file: 0, page: 0, frames: [10, 11, 12, 13] },
      { file: 0, page: 1, frames: [14, 15, 16, 17] },
      { file: 0, page: 1, frames: [34, 45, 36, 37] },
    ],
    [shared],
  );
  const second = located(
    [
      { file: 0, page: 0, frames: [60, 61, 62, 63] },
      { file: 0, page: 1, frames: [70, 71, 72, 73] },
    ],
    [copy],
  );
  const listed = buildRuns([first, second]);
  const pages = runsOf(listed).flatMap(([, block = 0, frame = 0, count = 0]) =>
    Array.from({ length: count }, (_, part) => `${block + part}:${frame + part}`),
  );
  const blocks = runsOf(listed).map(([, block]) => block ?? 0);
  t.deepEqual(
    blocks,
    blocks.toSorted((a, b) => a - b),
  );
  t.is(listed.pageCount, 20);
  t.deepEqual(
    pages.toSorted(),
    [
      ...[10, 11, 12, 13, 14, 15, 16, 17].map((frame, part) => `${100 + part}:${frame}`),
      ...[34, 45, 36, 37].map((frame, part) => `${104 + part}:${frame}`),
      ...[60, 61, 62, 63].map((frame, part) => `${100 + part}:${frame}`),
      ...[70, 71, 72, 73].map((frame, part) => `${50 + part}:${frame}`),
    ].toSorted(),
  );
});

test('any set of pages gives exactly its blocks', (t) => {
  const extentLengths = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(
      fc.array(extentLengths, { minLength: 1, maxLength: 3 }),
      fc.uniqueArray(fc.tuple(fc.nat(2), fc.nat(12), fc.boolean()), {
        selector: ([file, page]) => `${file} ${page}`,
        maxLength: 30,
      }),
      fc.boolean(),
      (lengths, cachedAt, hotFirst) => {
        // Extents of all files lie on the disk in an order unlike the files', with gaps; files have no holes.
        let physical = 1_000_000;
        const files = lengths.map((file) => {
          let logical = 0;
          return file.map((count): Extent => {
            const extent = { logicalBlock: logical, physicalBlock: physical, count };
            logical += count;
            physical -= 20;
            return extent;
          });
        });
        const pages = cachedAt
          .filter(([file]) => file < files.length)
          .map(([file, page, cold], index): Page => ({
            file,
            page,
            cold,
            frames: [0, 1, 2, 3].map((part) => 100 + index * 5 + part),
          }));
        const expected = new Map<number, number>();
        const isCold = new Map<number, boolean>();
        for (const { file, page, frames, cold } of pages) {
          const blocks = frames.map((frame, part) => {
            const block = page * 4 + part;
            const extent = files[file]?.find(
              ({ logicalBlock, count }) => block >= logicalBlock && block < logicalBlock + count,
            );
            return extent === undefined
              ? undefined
              : ([extent.physicalBlock + block - extent.logicalBlock, frame] as const);
          });
          if (blocks.every((block) => block !== undefined))
            for (const [block, frame] of blocks) {
              expected.set(block, frame);
              isCold.set(block, hotFirst && cold === true);
            }
        }
        const listed = buildRuns([located(pages, files)], hotFirst);
        const actual = runsOf(listed).flatMap(([, block = 0, frame = 0, count = 0]) =>
          Array.from({ length: count }, (_, part) => [block + part, frame + part] as const),
        );
        t.deepEqual(
          actual,
          [...expected].sort(([a], [b]) => Number(isCold.get(a)) - Number(isCold.get(b)) || a - b),
        );
        const coldRuns = runsOf(listed).map(([, block = 0]) => isCold.get(block) === true);
        t.is(listed.runs.firstColdRun, coldRuns.filter((cold) => !cold).length);
        t.is(listed.pageCount, expected.size);
      },
    ),
    { numRuns: 300 },
  );
});

test('pagemap entries: present, swapped out, beyond a cut read, hidden', (t) => {
  const present = 1n << 63n;
  const entries = new Map([
    [16, present | 0x1234n],
    [17, present | (1n << 61n) | 0x77n],
    [18, (1n << 62n) | 0x99n],
    [19, present | (1n << 40n)],
  ]);
  const read = (index: number, into: Uint8Array): number => {
    const bytes = Buffer.alloc((24 - index) * 8);
    for (const [at, entry] of entries) if (at >= index) bytes.writeBigUInt64LE(entry, (at - index) * 8);
    into.set(bytes);
    return bytes.length;
  };
  const pages = cached(3, 8192, { address: Float64Array.of(16 * 4096, 18 * 4096, 23 * 4096) });
  t.deepEqual([...translateToFrames(pages, read)], [0x1234, 0x77, 0, 0, 0, 0]);
  const hidden = (_: number, into: Uint8Array): number => {
    Buffer.from(into.buffer).fill(Buffer.from([0, 0, 0, 0, 0, 0, 0, 0x80]));
    return into.length;
  };
  t.throws(() => translateToFrames(pages, hidden), { message: /CAP_SYS_ADMIN/ });
});

test('files on NFS whose names the host would not take are left out, and counted', (t) => {
  const extents = [{ logicalBlock: 0, physicalBlock: 0, count: 4 }];
  const onNfs = (fileSystem: string, path: string) => ({
    place: { source: { kind: 'file', fileSystem, path }, firstBlock: 0 } as const,
    extents,
    otherwise: 'unwritten' as const,
  });
  const locations = [
    onNfs('n'.repeat(1025), 'a'),
    onNfs('nas:/export', 'b'.repeat(4096)),
    ...Array.from({ length: 4000 }, (_, index) => onNfs('nas:/export', `${index}${'\n'.repeat(4000)}`)),
    onNfs('nas:/export', 'c'),
  ];
  const count = locations.length;
  const pages = cached(count, 4096, {
    file: Uint32Array.from(locations.keys()),
    files: Array.from({ length: count }, (_, index) => String(index)),
  });
  const { server } = pages;
  const frames = Uint32Array.from({ length: count }, (_, index) => 100 + index);
  const found = buildRuns([{ pages, frames, locations }]);
  const timings = { findMs: 0, translateMs: 0, mapMs: 0, encodeMs: 0 };
  const list = decodePageList(encodePageList({ ...found, guestRam: [], timings, server, failures: [] }));
  t.is(list.pageCount + (list.leftOut['beyond-limits'] ?? 0), count);
  t.true(list.sources.length > 100);
  t.like(list.sources.at(-1), { path: 'c' });
});
