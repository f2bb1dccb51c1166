/** Sorting of indices by key. Loops get numbers and typed arrays alone (docs/agent.md, V8's optimiser). */

/** 0, 1, 2 … */
export function ascending(length: number): Uint32Array {
  const numbers = new Uint32Array(length);
  fillAscending(numbers);
  return numbers;
}

function fillAscending(numbers: Uint32Array): void {
  for (let index = 0; index < numbers.length; index++) numbers[index] = index;
}

/** Radix sort of indices by key, 16 bits a pass; passes in which all keys agree are left out. Takes `indices` over. */
export function sortStably(indices: Uint32Array, key: Uint32Array): Uint32Array {
  let from = indices;
  let to: Uint32Array = new Uint32Array(indices.length);
  const starts = new Uint32Array(0x10001);
  const largest = largestKey(from, key);
  for (let shift = 0; shift < 32 && largest >>> shift > 0; shift += 16) {
    sortByDigit(from, to, key, shift, starts.fill(0), Math.min(largest >>> shift, 0xffff) + 1);
    [from, to] = [to, from];
  }
  return from;
}

function largestKey(indices: Uint32Array, key: Uint32Array): number {
  let largest = 0;
  for (let at = 0; at < indices.length; at++) largest = Math.max(largest, key[indices[at] ?? 0] ?? 0);
  return largest;
}

/** @param starts zeros: where each digit's indices begin; one more than there are digits */
function sortByDigit(
  from: Uint32Array,
  to: Uint32Array,
  key: Uint32Array,
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
