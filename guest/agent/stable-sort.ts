/** Sorting of indices by key. Loops get numbers and typed arrays alone (page-runs.ts says why). */

type Keys = Uint16Array | Uint32Array;

/**
 * The indices of columns of `length`, sorted by the last of the keys, those that agree in it by the one before it, and so on. Two
 * arrays of indices are all that it takes. A radix sort, 16 bits a pass; passes in which all keys agree are left out.
 */
export function indicesBy(length: number, ...keys: readonly Keys[]): Uint32Array {
  let from = new Uint32Array(length);
  let to = new Uint32Array(length);
  fillAscending(from);
  const starts = new Uint32Array(0x10001);
  for (const key of keys) {
    const largest = largestKey(key, length);
    for (let shift = 0; shift < 32 && largest >>> shift > 0; shift += 16) {
      sortByDigit(from, to, key, shift, starts.fill(0), Math.min(largest >>> shift, 0xffff) + 1);
      [from, to] = [to, from];
    }
  }
  return from;
}

function fillAscending(numbers: Uint32Array): void {
  for (let index = 0; index < numbers.length; index++) numbers[index] = index;
}

function largestKey(key: Keys, length: number): number {
  let largest = 0;
  for (let at = 0; at < length; at++) largest = Math.max(largest, key[at] ?? 0);
  return largest;
}

/** @param starts zeros: where each digit's indices begin; one more than there are digits */
function sortByDigit(
  from: Uint32Array,
  to: Uint32Array,
  key: Keys,
  shift: number,
  starts: Uint32Array,
  digits: number,
): void {
  for (let at = 0; at < from.length; at++) {
    const next = (((key[from[at] ?? 0] ?? 0) >>> shift) & 0xffff) + 1;
    starts[next] = (starts[next] ?? 0) + 1;
  }
  for (let digit = 0; digit < digits; digit++)
    starts[digit + 1] = (starts[digit + 1] ?? 0) + (starts[digit] ?? 0);
  for (let at = 0; at < from.length; at++) {
    const index = from[at] ?? 0;
    const digit = ((key[index] ?? 0) >>> shift) & 0xffff;
    const place = starts[digit] ?? 0;
    to[place] = index;
    starts[digit] = place + 1;
  }
}
