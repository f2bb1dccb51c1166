/**
 * `npm run bench -- hash [--rounds N]`: the keyed hash of pages against XXH64, which it replaced, in turns: GB per second of
 * CPU time, medians and extremes. Pages lie in a buffer of 256 MiB, so that they come from memory and not from a cache.
 */
import { randomFillSync } from 'node:crypto';
import xxhashWasm from 'xxhash-wasm';
import { PageHasher, randomHashKey } from '../engine/list/content-hash.ts';
import { number } from '../engine/cli/arguments.ts';
import { pageSizeBytes } from '../engine/list/page-list.ts';
import { benchCommand } from './bench-command.ts';

const { rounds, json } = benchCommand(import.meta.filename, 'The keyed hash of pages against XXH64.')
  .option('--rounds <n>', 'of each', number(1), 7)
  .parse()
  .opts<{ readonly rounds: number; readonly json?: true }>();
const buffer = randomFillSync(Buffer.allocUnsafeSlow(256 * 2 ** 20));
const xxhash = await xxhashWasm();
const hasher = new PageHasher(randomHashKey());
const into = new Uint32Array(2);

const subjects: Readonly<Record<string, (offset: number) => void>> = {
  keyed: (offset) => {
    hasher.hashPage(buffer, offset, into, 0);
  },
  xxh64: (offset) => {
    xxhash.h64Raw(buffer.subarray(offset, offset + pageSizeBytes));
  },
};

const measured = Object.fromEntries(Object.keys(subjects).map((name) => [name, [] as number[]]));
for (let round = 0; round <= rounds; round++) {
  for (const [name, hash] of Object.entries(subjects)) {
    const before = process.cpuUsage();
    for (let offset = 0; offset < buffer.length; offset += pageSizeBytes) hash(offset);
    const { user, system } = process.cpuUsage(before);
    // The first round compiles.
    if (round > 0) measured[name]?.push(buffer.length / 1e3 / (user + system));
  }
}
for (const [name, all] of Object.entries(measured)) {
  const sorted = all.toSorted((a, b) => a - b);
  const figures = { min: sorted[0], median: sorted[Math.floor(sorted.length / 2)], max: sorted.at(-1) };
  if (json === true) console.log(JSON.stringify({ name, unit: 'GB per CPU second', ...figures }));
  else {
    const [min, median, max] = Object.values(figures).map((figure) => (figure ?? 0).toFixed(2));
    console.log(`${name.padEnd(6)} ${median ?? ''} GB per CPU second (${min ?? ''} to ${max ?? ''})`);
  }
}
