import test from 'ava';
import type { RamBlock } from '../stream/handler.ts';
import { workOutMap } from './guest-memory-map.ts';

const MiB = 256;
const GiB = 1024 * MiB;
const at4GiB = 4 * GiB;

/** As QEMU sends them, with what is no memory of the guest. */
const blocksOf = (sizes: Readonly<Record<string, number>>): readonly RamBlock[] =>
  Object.entries({ ...sizes, 'vga.vram': 16 * MiB, 'pc.bios': 64 }).map(([name, pageCount], index) => ({
    ...{ index, name, pageCount, lengthBytes: pageCount * 4096 },
  }));

/** What Linux names of memory below 4 GiB: firmware keeps some of its end. */
const low = (pages: number): readonly (readonly [number, number])[] => [
  [1, 0x9e],
  [0x100, pages - 37],
];

test('one block, below 4 GiB and cut in two', (t) => {
  const small = [{ firstFrame: 0, pages: 2 * GiB, blockIndex: 0, firstPage: 0 }];
  t.deepEqual(workOutMap('pc-q35-10.0', blocksOf({ ram0: 2 * GiB }), low(2 * GiB)), small);
  for (const [machine, cut] of [
    ['pc-q35-10.0', 2 * GiB],
    ['pc-i440fx-7.2', 3 * GiB],
    ['microvm', 3 * GiB],
  ] as const)
    t.deepEqual(
      workOutMap(machine, blocksOf({ 'pc.ram': 6 * GiB }), [
        ...low(cut),
        [at4GiB, at4GiB + 6 * GiB - cut - 1],
      ]),
      [
        { firstFrame: 0, pages: cut, blockIndex: 0, firstPage: 0 },
        { firstFrame: at4GiB, pages: 6 * GiB - cut, blockIndex: 0, firstPage: cut },
      ],
      machine,
    );
});

test('max-ram-below-4g shows in what the guest names', (t) => {
  const map = workOutMap('pc-q35-10.0', blocksOf({ ram0: 6 * GiB }), [
    ...low(1 * GiB),
    [at4GiB, at4GiB + 5 * GiB - 1],
  ]);
  t.deepEqual(
    map?.map(({ pages }) => pages),
    [GiB, 5 * GiB],
  );
});

test('plugged-in blocks are above it, wherever it ends; those of one size cannot be told apart', (t) => {
  const ram = [...low(192 * MiB), [at4GiB, at4GiB + 256 * MiB - 1]] as const;
  t.deepEqual(workOutMap('pc-q35-10.0', blocksOf({ dimm0: 256 * MiB, ram0: 192 * MiB }), ram), [
    { firstFrame: 0, pages: 192 * MiB, blockIndex: 1, firstPage: 0 },
    { firstFrame: at4GiB, pages: 256 * MiB, blockIndex: 0, firstPage: 0 },
  ]);
  const twins = [...ram, [at4GiB + 256 * MiB, at4GiB + 512 * MiB - 1]] as const;
  t.deepEqual(workOutMap('pc-q35-10.0', blocksOf({ d0: 256 * MiB, d1: 256 * MiB, ram0: 192 * MiB }), twins), [
    { firstFrame: 0, pages: 192 * MiB, blockIndex: 2, firstPage: 0 },
  ]);
});

test('memory of several nodes is not guessed at', (t) => {
  for (const [first, second] of [
    [96, 96],
    [64, 128],
    [4096, 4096],
  ] as const) {
    const total = (first + second) * MiB;
    const below = Math.min(total, 2 * GiB);
    const ram = total === below ? low(total) : [...low(below), [at4GiB, at4GiB + total - below - 1] as const];
    t.is(workOutMap('pc-q35-10.0', blocksOf({ n0: first * MiB, n1: second * MiB }), ram), undefined);
  }
});

test('a guest that uses less than it has', (t) => {
  t.deepEqual(workOutMap('pc-q35-10.0', blocksOf({ ram0: GiB }), low(512 * MiB)), [
    { firstFrame: 0, pages: GiB, blockIndex: 0, firstPage: 0 },
  ]);
});
