import test from 'ava';
import fc from 'fast-check';
import { nameOf } from '../../engine/list/page-list.ts';
import type { DevicePlace, Volume } from './block-device.ts';
import { withinRoom } from './list-pages.ts';
import { buildRuns, type ListedRuns } from './page-runs.ts';

const onDisk = (disk: string, firstBlock = 0): DevicePlace => ({
  source: { kind: 'disk', disk },
  firstBlock,
});

/** A file in one piece at the start of a device, with cached pages of 4 KiB; page N is in frame N + 100. */
function listed(
  place: DevicePlace,
  fileBlocks: number,
  pages: readonly number[],
  isCold = (_page: number): boolean => false,
): ListedRuns {
  const page = Uint32Array.from(pages);
  const cold = Uint8Array.from(page, (number) => (isCold(number) ? 1 : 0));
  const columns = { count: page.length, file: new Uint32Array(page.length), page, cold };
  return buildRuns(
    [
      {
        pages: { pid: 1, pageSizeBytes: 4096, ...columns, leftOut: {} },
        frames: page.map((number) => number + 100),
        locations: [
          {
            place,
            extents: [{ logicalBlock: 0, physicalBlock: 0, count: fileBlocks }],
            otherwise: 'unwritten',
          },
        ],
      },
    ],
    true,
  );
}

const runsOf = ({ runs, sources }: ListedRuns): unknown[] =>
  [...runs.count].map((count, run) => {
    const source = sources[runs.sourceIndex[run] ?? NaN];
    return [source === undefined ? '' : nameOf(source), runs.storageBlock[run], runs.guestFrame[run], count];
  });

const striped = (chunkBlocks: number, count: number, ...places: readonly DevicePlace[]): Volume => ({
  pieces: [
    {
      ...{ firstBlock: 0, count, chunkBlocks },
      stripes: places.map((place) => ({ place, firstBlock: 10 })),
    },
  ],
});

test('blocks of a volume lie on its disks, in turn or one after the other', (t) => {
  const volume = striped(16, 512, onDisk('a', 256), onDisk('b'));
  const pages = Array.from({ length: 36 }, (_, index) => 14 + index);
  t.deepEqual(runsOf(listed(volume, 64, pages)), [
    ['a', 256 + 10 + 14, 114, 2],
    ['a', 256 + 10 + 16, 132, 16],
    ['b', 10, 116, 16],
    ['b', 10 + 16, 148, 2],
  ]);
  const linear: Volume = {
    pieces: [
      { firstBlock: 0, count: 8, chunkBlocks: 8, stripes: [{ place: onDisk('c'), firstBlock: 4 }] },
      { firstBlock: 8, count: 8, chunkBlocks: 8, stripes: [{ place: onDisk('a', 100), firstBlock: 0 }] },
    ],
  };
  t.deepEqual(runsOf(listed(linear, 16, [6, 7, 8, 9])), [
    ['c', 10, 106, 2],
    ['a', 100, 108, 2],
  ]);
  // A disk on which nothing lies that is cached need not be one that the destination has.
  t.deepEqual(listed(linear, 16, [9]).sources, [{ kind: 'disk', disk: 'a' }]);
});

test('a large file on a striped volume takes what its cached pages take', (t) => {
  const fileBlocks = 500 * 2 ** 18;
  const volume = striped(16, fileBlocks, onDisk('a'), onDisk('b'));
  const found = listed(volume, fileBlocks, [0, 1, 16, fileBlocks - 1]);
  t.is(found.pageCount, 4);
  t.deepEqual(runsOf(found), [
    ['a', 10, 100, 2],
    ['b', 10, 116, 1],
    ['b', 10 + fileBlocks / 2 - 1, fileBlocks + 99, 1],
  ]);
});

test('pages on no disk, or beyond what a list can name, are counted', (t) => {
  const short = striped(4, 8, onDisk('a'));
  const cut = listed(short, 16, [6, 7, 8, 9, 12]);
  t.deepEqual(runsOf(cut), [['a', 16, 106, 2]]);
  t.deepEqual(cut.leftOut, { 'beyond-limits': 3 });
  const far = striped(4, 16, onDisk('a', 2 ** 32 - 14), onDisk('b'));
  const reached = listed(far, 16, [0, 4, 8, 12]);
  t.deepEqual(runsOf(reached), [
    ['a', 2 ** 32 - 4, 100, 1],
    ['b', 10, 104, 1],
    ['b', 14, 112, 1],
  ]);
  t.deepEqual(reached.leftOut, { 'beyond-limits': 1 });
});

/** Where one block lies, as the kernel computes it (dm-linear.c, dm-stripe.c). */
function placeOf(place: DevicePlace, block: number): string | undefined {
  if ('source' in place) return `${nameOf(place.source)}:${place.firstBlock + block}`;
  const piece = place.pieces.find((one) => block >= one.firstBlock && block < one.firstBlock + one.count);
  if (piece === undefined) return undefined;
  const inPiece = block - piece.firstBlock;
  const chunk = Math.floor(inPiece / piece.chunkBlocks);
  const stripe = piece.stripes[chunk % piece.stripes.length];
  const before = Math.floor(chunk / piece.stripes.length) * piece.chunkBlocks;
  return stripe === undefined
    ? undefined
    : placeOf(stripe.place, stripe.firstBlock + before + (inPiece % piece.chunkBlocks));
}

test('any volumes on volumes give each cached block its place', (t) => {
  const { place } = fc.letrec<{ place: DevicePlace; volume: Volume }>((tie) => ({
    place: fc.oneof(
      { maxDepth: 2, withCrossShrink: true },
      fc.record({
        source: fc.record({ kind: fc.constant('disk' as const), disk: fc.constantFrom('a', 'b', 'c') }),
        firstBlock: fc.nat(50),
      }),
      tie('volume'),
    ),
    volume: fc
      .array(
        fc.record({
          count: fc.integer({ min: 1, max: 40 }),
          chunkBlocks: fc.integer({ min: 1, max: 7 }),
          stripes: fc.array(fc.record({ place: tie('place'), firstBlock: fc.nat(9) }), {
            minLength: 1,
            maxLength: 3,
          }),
        }),
        { minLength: 1, maxLength: 3 },
      )
      .map((pieces) => {
        let firstBlock = 0;
        return {
          pieces: pieces.map((piece) => {
            const placed = { ...piece, firstBlock };
            firstBlock += piece.count;
            return placed;
          }),
        };
      }),
  }));
  fc.assert(
    fc.property(place, fc.uniqueArray(fc.nat(79), { maxLength: 60 }), fc.nat(7), (device, pages, mask) => {
      const isCold = (page: number): boolean => (page & mask) !== 0;
      const found = listed(device, 80, pages, isCold);
      const expected = pages.flatMap((page) => {
        const at = placeOf(device, page);
        return at === undefined ? [] : [`${at}=${page + 100}`];
      });
      const actual = [...found.runs.count].flatMap((count, run) => {
        const source = found.sources[found.runs.sourceIndex[run] ?? NaN];
        return Array.from(
          { length: count },
          (_, part) =>
            `${source === undefined ? '' : nameOf(source)}:${(found.runs.storageBlock[run] ?? 0) + part}=${(found.runs.guestFrame[run] ?? 0) + part}`,
        );
      });
      t.deepEqual(actual.toSorted(), expected.toSorted());
      const { sourceIndex, storageBlock, guestFrame, firstColdRun } = found.runs;
      const inOrder = [...guestFrame].map((frame) => isCold(frame - 100));
      t.deepEqual(
        inOrder,
        inOrder.map((_, run) => run >= firstColdRun),
      );
      const places = [...sourceIndex].map(
        (source, run) => (run < firstColdRun ? 0 : 2 ** 50) + source * 2 ** 32 + (storageBlock[run] ?? 0),
      );
      t.deepEqual(
        places,
        places.toSorted((a, b) => a - b),
      );
      t.is(found.pageCount, expected.length);
      t.is(found.leftOut['beyond-limits'] ?? 0, pages.length - expected.length);
    }),
    { numRuns: 300 },
  );
});

test('of files in too many pieces those are left out for which there is no room', (t) => {
  const extent = { logicalBlock: 0, physicalBlock: 0, count: 1 };
  const inPieces = (pieces: number) => ({
    place: onDisk('a'),
    extents: new Array<typeof extent>(pieces).fill(extent),
    otherwise: 'unwritten' as const,
  });
  const room = { extents: 10 };
  const files = [inPieces(6), inPieces(5), { leftOut: 'gone' } as const, inPieces(4)];
  t.deepEqual(
    files.map((file) => withinRoom(file, room)),
    [files[0], { leftOut: 'too-fragmented' }, files[2], files[3]],
  );
});
