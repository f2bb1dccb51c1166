/**
 * The WebAssembly that computes the hash of content-hash.ts, written here instruction by instruction, for want of a library:
 * the universal hashes that can be had are for Poly1305's or SipHash's speed, a quarter of this. Its memory holds, in this
 * order, one page, the keys of two NH, the keys of the last step, and the hash.
 */
import { pageSizeBytes } from './page-list.ts';

export const keysAt = pageSizeBytes;
/** NH takes a key as long as the page for each half of the hash. */
const nhKeyAt = [keysAt, keysAt + pageSizeBytes] as const;
const lastKeysAt = keysAt + 2 * pageSizeBytes;
/** Keys of 64 bits of the last step for each half of the hash. */
const lastKeys = 5;
export const keyBytes = 2 * pageSizeBytes + 2 * lastKeys * 8;
/** Two halves of 32 bits. */
export const hashAt = keysAt + keyBytes;

/** Bytes of the page in one turn of the loop. */
const turnBytes = 128;
const vectorBytes = 16;

const type = { i32: 0x7f, i64: 0x7e, v128: 0x7b } as const;
/** Opcodes (WebAssembly core specification 2.0, 5.4). */
const op = {
  loop: [0x03, 0x40],
  end: [0x0b],
  branchIf: [0x0d],
  localGet: [0x20],
  localSet: [0x21],
  localTee: [0x22],
  i32Const: [0x41],
  i64Const: [0x42],
  i64Load: [0x29, 3],
  i64Store32: [0x3e, 2],
  i32LessUnsigned: [0x49],
  i32Add: [0x6a],
  i64Add: [0x7c],
  i64Multiply: [0x7e],
  i64And: [0x83],
  i64ShiftRightUnsigned: [0x88],
  vectorLoad: [0xfd, 0, 4],
  i32x4Add: [0xfd, 0xae, 1],
  i64x2Add: [0xfd, 0xce, 1],
  i64x2ExtractLane: [0xfd, 0x1d],
  /** Products of 64 bits of the two low, or high, words of 32 bits of each vector. */
  multiplyLow: [0xfd, 0xde, 1],
  multiplyHigh: [0xfd, 0xdf, 1],
} as const;

const local = { at: 0, sums: [1, 2], x: 3, y: 4, words: [5, 6, 7, 8] } as const;

function unsigned(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return [...bytes, rest];
    bytes.push((rest & 0x7f) | 0x80);
  }
}

/** Of a value that is not negative. */
function signed(value: number): number[] {
  // A last byte below 0x40 says that it is not negative.
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 0x40) return [...bytes, rest];
    bytes.push((rest % 128) | 0x80);
  }
}

const counted = (items: readonly (readonly number[])[]): number[] => [
  ...unsigned(items.length),
  ...items.flat(),
];
const sized = (bytes: readonly number[]): number[] => [...unsigned(bytes.length), ...bytes];
const section = (id: number, content: readonly number[]): number[] => [id, ...sized(content)];

/**
 * NH over two vectors of the page, added to its sum: of words m_i and keys k_i of 32 bits, the products of 64 bits of
 * m_i + k_i and m_(i+4) + k_(i+4).
 */
function addProducts(half: 0 | 1, offset: number): number[] {
  const sum = local.sums[half];
  const keyed = (at: number): number[] => [
    ...[...op.localGet, local.at, ...op.vectorLoad, ...unsigned(at)],
    ...[...op.localGet, local.at, ...op.vectorLoad, ...unsigned(nhKeyAt[half] + at)],
    ...op.i32x4Add,
  ];
  return [
    ...[...keyed(offset), ...op.localSet, local.x],
    ...[...keyed(offset + vectorBytes), ...op.localSet, local.y],
    ...[...op.localGet, sum],
    ...[...op.localGet, local.x, ...op.localGet, local.y, ...op.multiplyLow],
    ...op.i64x2Add,
    ...[...op.localGet, local.x, ...op.localGet, local.y, ...op.multiplyHigh],
    ...op.i64x2Add,
    ...[...op.localSet, sum],
  ];
}

/** The sum of NH as two words of 32 bits. */
function splitSum(half: 0 | 1): number[] {
  const [low, high] = half === 0 ? [local.words[0], local.words[1]] : [local.words[2], local.words[3]];
  const sum = local.sums[half];
  return [
    ...[...op.localGet, sum, ...op.i64x2ExtractLane, 0, ...op.localGet, sum, ...op.i64x2ExtractLane, 1],
    ...[...op.i64Add, ...op.localTee, low],
    ...[...op.i64Const, ...signed(32), ...op.i64ShiftRightUnsigned, ...op.localSet, high],
    ...[...op.localGet, low, ...op.i64Const, ...signed(0xffff_ffff), ...op.i64And, ...op.localSet, low],
  ];
}

/** The top 32 bits of a key plus the sum of each word times its key, modulo 2^64, into their half of the hash. */
function lastStep(half: 0 | 1): number[] {
  const keysAt = lastKeysAt + half * lastKeys * 8;
  const key = (index: number): number[] => [
    ...[...op.i32Const, ...signed(0), ...op.i64Load, ...unsigned(keysAt + index * 8)],
  ];
  return [
    ...[...op.i32Const, ...signed(0)],
    ...key(0),
    ...local.words.flatMap((word, index) => [
      ...[...key(index + 1), ...op.localGet, word, ...op.i64Multiply, ...op.i64Add],
    ]),
    ...[...op.i64Const, ...signed(32), ...op.i64ShiftRightUnsigned],
    ...[...op.i64Store32, ...unsigned(hashAt + half * 4)],
  ];
}

function hashFunction(): number[] {
  const turn: number[] = [];
  for (let offset = 0; offset < turnBytes; offset += 2 * vectorBytes) {
    turn.push(...addProducts(0, offset), ...addProducts(1, offset));
  }
  return [
    ...counted([
      [1, type.i32],
      [4, type.v128],
      [4, type.i64],
    ]),
    ...op.loop,
    ...turn,
    ...[
      ...op.localGet,
      local.at,
      ...op.i32Const,
      ...signed(turnBytes),
      ...op.i32Add,
      ...op.localTee,
      local.at,
    ],
    ...[...op.i32Const, ...signed(pageSizeBytes), ...op.i32LessUnsigned, ...op.branchIf, 0],
    ...op.end,
    ...[...splitSum(0), ...splitSum(1), ...lastStep(0), ...lastStep(1)],
    ...op.end,
  ];
}

const name = (text: string): number[] => sized([...Buffer.from(text)]);

/** Exports `memory` and `hash`, a function without parameters. */
export function hashModule(): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    // One type of function, one function of that type, one memory of 64 KiB.
    ...section(1, counted([[0x60, 0, 0]])),
    ...section(3, counted([[0]])),
    ...section(5, counted([[0, 1]])),
    ...section(
      7,
      counted([
        [...name('memory'), 2, 0],
        [...name('hash'), 0, 0],
      ]),
    ),
    ...section(10, counted([sized(hashFunction())])),
  ]);
}
