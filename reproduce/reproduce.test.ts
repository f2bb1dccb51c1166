import { existsSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { recipes } from '../experiments/recipes/all.ts';
import type { ListedRecipe } from './list.ts';

const root = path.join(import.meta.dirname, '..');
const page = (): Promise<string> => readFile(path.join(root, 'docs', 'results.md'), 'utf8');

const reproduce = (...arguments_: string[]) =>
  execa(process.execPath, ['reproduce/main.ts', ...arguments_], { cwd: root, reject: false });

test('every recipe is listed with what its block is made from', async (t) => {
  const { stdout } = await reproduce('--list', '--json');
  const listed = JSON.parse(stdout) as ListedRecipe[];
  t.deepEqual(
    listed.map(({ name }) => name),
    recipes.map(({ name }) => name),
  );
  const engines = listed.find(({ name }) => name === 'engines');
  t.is(engines?.runs, 27);
  t.true((engines?.expectedMinutes.tcg ?? 0) > 60);
  t.regex(engines?.recorded?.lastRunAt ?? '', /^\d{4}-\d\d-\d\dT/);
  const { stdout: text } = await reproduce('--list', 'engines');
  t.regex(
    text,
    /^engines\n {2}How much faster.*\n {2}27 runs, about \d+ min under TCG, \d+ with KVM; last run 20/,
  );
});

test('a dry run says what would be run, and changes nothing', async (t) => {
  const before = await page();
  const { stdout, exitCode } = await reproduce('smoke', '--dry-run');
  t.is(exitCode, 0);
  t.regex(stdout, /^smoke: Does everything work/);
  t.regex(
    stdout,
    /\nnpm run matrix -- --scenarios rw --mems 4 .* --verify-ram .*\n2 runs:\n4 GiB: VM 256 MiB/,
  );
  t.regex(stdout, /rw-4-precopy-r1 +\d/);
  t.is(await page(), before);
});

for (const [what, arguments_, said] of [
  ['no recipe', [], /name one recipe to run: engines, .*--list says what they are/],
  ['two recipes to run', ['smoke', 'engines'], /name one recipe to run/],
  ['an unknown recipe', ['speed'], /NAME \["speed"\]: valid: engines, /],
  ['a set that is not there', ['engines', '--from', 'results/none'], /there is no results\/none/],
  [
    'a dry run of what writes',
    ['engines', '--report-only', '--dry-run'],
    /--report-only runs nothing, and writes .*leave out --dry-run/,
  ],
  [
    'two sources of a block',
    ['engines', '--from', 'results/reference-2026-11-26-engines', '--report-only'],
    /--from runs nothing, and writes docs\/results\.md: leave out --report-only/,
  ],
  [
    'a set to commit whose name has no date',
    ['engines', '--commit', 'results/bench'],
    /bench is not named as engines-<date>: rename it/,
  ],
  [
    'a set to commit of no recipe',
    ['--commit', 'results/reference-2026-11-26-engines'],
    /name one recipe to commit sets of/,
  ],
  ['a set elsewhere', ['engines', '--from', '/tmp'], /\/tmp is outside of this checkout/],
  [
    'a set of other conditions',
    ['full-speed', '--from', 'results/reference-2026-11-26-engines'],
    /is no run of the recipe full-speed: its rateTps is 8, the recipe's 0/,
  ],
] as const) {
  test(`${what} is refused, and nothing is written`, async (t) => {
    const before = await page();
    const { stderr, exitCode } = await reproduce(...arguments_);
    t.is(exitCode, 2);
    t.regex(stderr, said);
    t.is(await page(), before);
  });
}

test('a set of other conditions is not committed', async (t) => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-reproduce-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const set = path.join(folder, 'full-speed-2026-11-26');
  await cp(path.join(root, 'results', 'reference-2026-11-26-engines'), set, { recursive: true });
  const readme = (): Promise<string> => readFile(path.join(root, 'results', 'README.md'), 'utf8');
  const before = await readme();
  const { stderr, exitCode } = await reproduce('full-speed', '--commit', set);
  t.is(exitCode, 2);
  t.regex(stderr, /is no run of the recipe full-speed: its rateTps is 8, the recipe's 0/);
  t.is(await readme(), before);
  t.false(existsSync(path.join(root, 'results', 'reference-2026-11-26-full-speed')));
});
