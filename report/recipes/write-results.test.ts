import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { beyondTheLink } from '../../experiments/recipes/beyond-the-link.ts';
import { restart } from '../../experiments/recipes/restart.ts';
import { makeBlock, readResultsPage, writeBlocks } from './write-results.ts';

const checkout = path.join(import.meta.dirname, '..', '..');
const beyond = 'results/reference-2026-11-26-beyond';

test('a block and its pictures are written, and written alike again', async (t) => {
  const root = await mkdtemp(path.join(os.tmpdir(), 'poolshift-results-'));
  t.teardown(() => rm(root, { recursive: true }));
  const page = path.join(root, 'docs', 'results.md');
  await mkdir(path.dirname(page));
  await writeFile(page, '# Results\n\nWords.\n');
  await writeBlocks(root, [await makeBlock(checkout, restart, [], false)]);
  t.regex(
    await readFile(page, 'utf8'),
    /^# Results\n\nWords\.\n\n<!-- recipe restart -->\n\n## [^]*No set is/,
  );

  const made = await makeBlock(checkout, beyondTheLink, [beyond], true);
  await writeBlocks(root, [made]);
  const written = await readFile(page, 'utf8');
  t.deepEqual(
    (await readResultsPage(root)).blocks.map(({ recipe, sets }) => [recipe, sets]),
    [
      ['restart', []],
      ['beyond-the-link', [beyond]],
    ],
  );
  const pictures = path.join(root, 'docs', 'figures', 'beyond-the-link');
  t.deepEqual(
    await readdir(pictures),
    beyondTheLink.figures.map((name) => `${name}.png`),
  );
  for (const [, picture = ''] of written.matchAll(/!\[[^\]]*\]\(([^)]+)\)/g))
    await t.notThrowsAsync(readFile(path.join(root, 'docs', picture)), picture);
  await writeBlocks(root, [made]);
  t.is(await readFile(page, 'utf8'), written);
});

test('runs of other conditions are no runs of the recipe, and a set without its runs is none', async (t) => {
  const other = { ...beyondTheLink, conditions: { ...beyondTheLink.conditions, threads: 8 } };
  await t.throwsAsync(makeBlock(checkout, other, [beyond], false), {
    code: 'different-conditions',
    message: /rw-4-balance-r1 is no run of the recipe beyond-the-link: its threads is 4, the recipe's 8/,
  });
  await t.throwsAsync(makeBlock(checkout, { ...restart, engines: ['restart'] }, [beyond], false), {
    code: 'not-readable',
    message: /there is no run of the recipe restart in /,
  });
});

test('runs that are missing are counted', async (t) => {
  const twice = { ...beyondTheLink, repeat: 2 };
  const { block } = await makeBlock(checkout, twice, [beyond], false);
  t.regex(block.lines.join('\n'), /\*\*2 of 4 runs\*\*/);
});
