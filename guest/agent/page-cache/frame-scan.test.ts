import test from 'ava';
import { scanFrames } from './frame-scan.ts';

const clean = (1 << 3) | (1 << 5);
const dirty = clean | (1 << 4);
const writeback = clean | (1 << 8);
const anonymous = clean | (1 << 12);
const shared = clean | (1 << 14);
const readingIn = 1 << 5;
const tail = 1 << 16;
const slab = 1 << 7;
const active = 1 << 6;
const mapped = 1 << 11;

const layout = { sizeBytes: 64, mapping: 24, index: 32 };
const base = 0xffff_ea00_0000_0000n;
const fileA = 0xffff_8880_1234_5678n;
const fileB = 0xffff_8880_0000_0010n;

interface Frame {
  readonly flags: number;
  readonly mapping?: bigint;
  readonly index?: bigint;
}

/** A scan of frames from `firstFrame` on. */
function scan(
  frames: readonly Frame[],
  { firstFrame = 0, maxPages = 1e6, maxFiles = 1e6, described = frames.length } = {},
) {
  const flags = Buffer.alloc(frames.length * 8);
  const descriptions = Buffer.alloc(frames.length * layout.sizeBytes);
  for (const [at, frame] of frames.entries()) {
    flags.writeUInt32LE(frame.flags, at * 8);
    descriptions.writeBigUInt64LE(frame.mapping ?? 0n, at * layout.sizeBytes + layout.mapping);
    descriptions.writeBigUInt64LE(frame.index ?? 0n, at * layout.sizeBytes + layout.index);
  }
  const copy = (from: Buffer, offset: number, into: Uint8Array): number =>
    from.copy(into, 0, offset, offset + into.length);
  const found = scanFrames(
    (frame, into) => copy(flags, (frame - firstFrame) * 8, into),
    { read: (address, into) => copy(descriptions.subarray(0, described * 64), Number(address - base), into) },
    [{ firstFrame, endFrame: firstFrame + frames.length, address: base }],
    layout,
    maxPages,
    maxFiles,
  );
  const pages = [...found.frames.subarray(0, found.count)].map((frame, at) => [
    frame,
    found.mappings[found.file[at] ?? 0],
    found.page[at],
  ]);
  return {
    ...{ pages, dirty: found.dirty, beyond: found.beyond, active: found.active },
    cold: [...found.cold.subarray(0, found.count)],
  };
}

const [a, b] = [fileA, fileB].map((address) => Number(address & 0xffff_ffff_ffffn));

test('clean pages of files, and no others', (t) => {
  const { pages, dirty: differing } = scan(
    [
      { flags: clean, mapping: fileA, index: 7n },
      { flags: anonymous, mapping: fileA + 1n, index: 1n },
      { flags: slab },
      { flags: dirty, mapping: fileA, index: 8n },
      { flags: writeback, mapping: fileA, index: 9n },
      { flags: shared, mapping: fileB, index: 1n },
      { flags: readingIn, mapping: fileB, index: 2n },
      { flags: clean, mapping: fileB, index: 0n },
      // Cut off from its file meanwhile; not of a file; beyond 16 TiB of one.
      { flags: clean, mapping: 0n, index: 3n },
      { flags: clean, mapping: fileA + 2n, index: 3n },
      { flags: clean, mapping: fileA, index: 2n ** 32n },
      { flags: clean, mapping: fileA, index: 3n },
    ],
    { firstFrame: 256 },
  );
  t.deepEqual(pages, [
    [256, a, 7],
    [263, b, 0],
    [267, a, 3],
  ]);
  t.is(differing, 2);
});

test('the frames of a larger page are what its first is, also where another look begins between them', (t) => {
  const before = 64 * 1024 - 2;
  const filler = Array.from({ length: before }, () => ({ flags: slab }));
  const tails = [{ flags: tail }, { flags: tail }, { flags: tail }];
  // The next look finds a page of its own, so that it is not passed over.
  const { pages, dirty: differing } = scan([
    ...filler,
    { flags: clean, mapping: fileA, index: 4n },
    ...tails,
    { flags: dirty, mapping: fileB, index: 4n },
    ...tails,
    { flags: slab },
    ...tails,
    { flags: clean, mapping: fileB, index: 1n },
  ]);
  t.deepEqual(pages, [
    [before, a, 4],
    [before + 1, a, 5],
    [before + 2, a, 6],
    [before + 3, a, 7],
    [before + 12, b, 1],
  ]);
  t.is(differing, 4);
});

test('what cannot be read is not listed, and what is too much is counted', (t) => {
  const frames = [0n, 1n, 2n, 3n].map((index) => ({ flags: clean, mapping: fileA, index }));
  t.deepEqual(
    scan(frames, { described: 2 }).pages.map(([frame]) => frame),
    [0, 1],
  );
  const { pages, beyond } = scan(frames, { maxPages: 3 });
  t.is(pages.length, 3);
  t.is(beyond, 1);
});

test('of more files than are noted, pages of the first are, and others are counted', (t) => {
  const frames = [fileA, fileB, fileA, fileB, fileB].map((mapping, at) => ({
    flags: clean,
    mapping,
    index: BigInt(at),
  }));
  const { pages, beyond } = scan(frames, { maxFiles: 1 });
  t.deepEqual(pages, [
    [0, a, 0],
    [2, a, 2],
  ]);
  t.is(beyond, 3);
});

test('pages are cold that are neither in the active list nor mapped; those of a larger page are as its first', (t) => {
  const flags = [clean | active, clean, clean | mapped, clean | active | mapped, clean | (1 << 2)];
  const frames = flags.map((bits, at) => ({ flags: bits, mapping: fileA, index: BigInt(at) }));
  const larger = [
    { flags: clean | active, mapping: fileB, index: 0n },
    { flags: tail },
    { flags: clean, mapping: fileB, index: 2n },
    { flags: tail | active },
    { flags: dirty | active, mapping: fileB, index: 4n },
  ];
  const found = scan([...frames, ...larger]);
  t.deepEqual(found.cold, [0, 1, 0, 0, 1, 0, 0, 1, 1]);
  t.is(found.active, 4);
});
