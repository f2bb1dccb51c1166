/** Held against the committed sets: what a reader must know before comparing. */
import path from 'node:path';
import test from 'ava';
import { readSet, type Run } from './read-set.ts';
import { bootsByRow, isOverloadedBefore, isSpeedUneven, unlikeBefore } from './made-unlike.ts';

const runsOf = async (set: string): Promise<readonly Run[]> =>
  (await readSet([path.join(import.meta.dirname, '../../results', set)], { withoutSamples: true })).runs;

test('the paper’s matrix was made on a machine that was not equally fast, the engines’ set was', async (t) => {
  const matrix = await runsOf('reference-2026-11-26');
  t.true(isSpeedUneven(matrix));
  t.regex(
    bootsByRow(matrix),
    /^\d+( to \d+)? s \(4 GiB\), .* s \(8 GiB\), .* s \(16 GiB\), .* s \(24 GiB\)$/,
  );
  t.false(isSpeedUneven([]));
});

test('a server that completes 5.5 of 8 is overloaded before the migration, one at 8.1 is not', async (t) => {
  const matrix = await runsOf('reference-2026-11-26');
  const overloaded = matrix.filter(isOverloadedBefore).map(({ name }) => name);
  t.true(overloaded.includes('rw-16-precopy-r1'));
  t.false(overloaded.includes('rw-24-precopy-r1'));
  t.deepEqual((await runsOf('reference-2026-11-26-engines')).filter(isOverloadedBefore), []);
});

test('throughput before that differs between methods is told, where it does', async (t) => {
  const fullSpeed = await runsOf('reference-2026-11-30-full-speed');
  t.is(unlikeBefore(fullSpeed).length, 1);
  t.deepEqual(unlikeBefore(await runsOf('reference-2026-11-26-engines')), []);
});
