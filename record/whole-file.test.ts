import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { writeWhole } from './whole-file.ts';

test('two that write the same file at once leave it whole, as one of them has it', async (t) => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-whole-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const file = path.join(folder, 'runs.csv');
  const texts = ['a', 'b'].map((letter) => letter.repeat(5e6));
  await Promise.all(texts.map((text) => writeWhole(file, (unfinished) => writeFile(unfinished, text))));
  t.true(texts.includes(await readFile(file, 'utf8')));
  t.deepEqual(await readdir(folder), ['runs.csv']);
});
