import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { syntheticSet, type SyntheticOptions } from '../testing/synthetic-set.ts';
import { writeSet } from '../testing/write-set.ts';

const program = path.join(import.meta.dirname, 'compare.ts');
let dir: string;

const cells: SyntheticOptions = { paperRowsGib: [8], engines: ['restore'], repeats: 3 };
const sets: Readonly<Record<string, SyntheticOptions>> = {
  base: cells,
  same: { ...cells, seed: 2 },
  slow: { ...cells, seed: 3, slower: { restore: 1.2 } },
  few: { ...cells, scenarios: ['rw'], repeats: 1, seed: 4, slower: { restore: 1.2 } },
};

test.before(async () => {
  dir = await mkdtemp(path.join(os.tmpdir(), 'compare-'));
  for (const [name, options] of Object.entries(sets))
    await writeSet(path.join(dir, name), syntheticSet(options));
  const other = syntheticSet(cells);
  const runs = other.runs.map((run) => ({ ...run, row: { ...run.row, storage_link_bits_per_second: 1e9 } }));
  await writeSet(path.join(dir, 'faster-links'), { runs });
  const part = syntheticSet({ ...cells, scenarios: ['ro', 'rw'], seed: 6 }).runs.map((run) =>
    run.name === 'ro-8-restore-r3' ? { ...run, row: { ...run.row, outcome: 'aborted' as const } } : run,
  );
  await writeSet(path.join(dir, 'part'), { runs: part });
  const again = syntheticSet({ ...cells, seed: 5 });
  const attempts = again.runs.map((run) => ({
    ...run,
    name: `${run.name}.failed-1`,
    manifest: { ...run.manifest, runId: `${run.manifest.runId}-failed` },
    row: { ...run.row, outcome: 'failed' as const },
  }));
  await writeSet(path.join(dir, 'again'), { runs: [...again.runs, ...attempts] });
});

test.after.always(async () => {
  await rm(dir, { recursive: true });
});

const compare = async (...arguments_: string[]) =>
  await execa(process.execPath, [program, ...arguments_], { cwd: dir, reject: false });

test('0: no regression', async (t) => {
  const { exitCode, stdout } = await compare('base', 'same');
  t.is(exitCode, 0, stdout);
  t.regex(stdout, /^no change +restore +total time +/m);
});

test('1: a regression, a line for each finding', async (t) => {
  const { exitCode, stdout } = await compare('base', 'slow');
  t.is(exitCode, 1);
  t.regex(stdout, /^REGRESSION +restore +total time +.* -> .* \+\d+\.\d %.*$/m);
  t.regex(stdout, /restore +CPU per GiB +[\d.]+ m?s -> [\d.]+ m?s /);
  t.regex(stdout, /^verdict: REGRESSION: \d REGRESSION, /m);
  for (const line of stdout.split('\n')) t.true(line.length <= 105, line);
});

test('--json has the same findings', async (t) => {
  const { exitCode, stdout } = await compare('base', 'slow', '--json');
  t.is(exitCode, 1);
  const { verdict, findings } = JSON.parse(stdout) as {
    verdict: string;
    findings: { metric: string; kind: string; change: number }[];
  };
  t.is(verdict, 'regression');
  const total = findings.find(({ metric }) => metric === 'total time');
  t.is(total?.kind, 'regression');
  t.true(Math.abs((total?.change ?? 0) - 0.2) < 0.06);
});

test('--markdown is a table for a pull request', async (t) => {
  const { exitCode, stdout } = await compare(
    'base',
    'slow',
    '--markdown',
    '--metrics',
    'total-time,downtime',
  );
  t.is(exitCode, 1);
  t.regex(stdout, /^\*\*verdict: REGRESSION: /);
  t.regex(stdout, /^\| REGRESSION +\| restore +\| total time +\|.*\| 9 \+ 9 +\|/m);
  t.notRegex(stdout, /engine CPU/);
});

test('0: a set against itself', async (t) => {
  t.is((await compare('base', 'base')).exitCode, 0);
});

test('a cell that NEW lacks, and a run without figures, are named wherever the verdict is read', async (t) => {
  const { stdout, stderr } = await compare('base', 'part', '--metrics', 'total-time');
  t.regex(stdout, /^verdict: .*; 1 cell missing in new$/m);
  t.regex(stderr, /^missing in new: idle 8 GiB restore$/m);
  t.regex(stderr, /^left out of new: ro-8-restore-r3 aborted$/m);
  const { stdout: markdown } = await compare('base', 'part', '--markdown');
  t.regex(markdown, /^\*\*verdict: .*; 1 cell missing in new\*\*$/m);
  t.regex(markdown, /^- missing in new: idle 8 GiB restore$/m);
  t.regex(markdown, /^- left out of new: ro-8-restore-r3 aborted$/m);
  const { stdout: json } = await compare('part', 'base', '--json');
  t.like(JSON.parse(json), {
    unpaired: { base: [], next: ['idle 8 GiB restore'] },
    leftOut: { base: [{ name: 'ro-8-restore-r3', reason: 'aborted' }], next: [] },
  });
});

test('1: attempts that failed and were made again until they did not count as runs that failed', async (t) => {
  const { exitCode, stdout, stderr } = await compare('base', 'again', '--metrics', 'unfinished');
  t.is(exitCode, 1, stdout);
  t.regex(stdout, /^REGRESSION +restore +unfinished +0\.00 -> 0\.50 /m);
  t.is(stderr.match(/^failed in new: /gm)?.length, 9);
  t.regex(stderr, /^failed in new: rw-8-restore-r1\.failed-1$/m);
  const { stdout: markdown } = await compare('base', 'again', '--markdown');
  t.regex(markdown, /^- failed in new: rw-8-restore-r1\.failed-1$/m);
  const { stdout: json } = await compare('again', 'base', '--json');
  const { failed } = JSON.parse(json) as { failed: { base: string[]; next: string[] } };
  t.deepEqual([failed.base.length, failed.next], [9, []]);
});

test('2: wrong usage, unreadable, or sets that do not go together', async (t) => {
  t.is((await compare('base')).exitCode, 2);
  t.is((await compare('base', 'same', '--fast')).exitCode, 2);
  const unknown = await compare('base', 'same', '--metrics', 'speed');
  t.is(unknown.exitCode, 2);
  t.regex(unknown.stderr, /--metrics speed: valid are unfinished, total-time, /);
  const unreadable = await compare('base', 'nowhere');
  t.is(unreadable.exitCode, 2);
  t.regex(unreadable.stderr, /nowhere/);
  const different = await compare('base', 'faster-links');
  t.is(different.exitCode, 2);
  t.regex(
    different.stderr,
    /link rate: 125 Mbit\/s \| migration 125 Mbit\/s, storage 1000 Mbit\/s, service 125 Mbit\/s/,
  );
  t.not((await compare('base', 'faster-links', '--allow-different')).exitCode, 2);
  const { stdout: markdown } = await compare('base', 'faster-links', '--allow-different', '--markdown');
  t.regex(markdown, /^- different: link rate: 125 Mbit\/s \| migration 125 Mbit\/s, storage 1000 Mbit\/s/m);
  t.is((await compare('base', 'same', '--json', '--markdown')).exitCode, 2);
});

test('2: a verdict that nobody can read, as it is written to a full disk', async (t) => {
  const { exitCode, stderr } = await execa(
    'bash',
    ['-c', '"$@" > /dev/full', 'bash', process.execPath, program, 'base', 'same', '--json'],
    { cwd: dir, reject: false },
  );
  t.is(exitCode, 2);
  t.regex(stderr, /^compare: standard output is not written: ENOSPC: /m);
});

test('3: too few samples to tell', async (t) => {
  const { exitCode, stdout } = await compare('few', 'same');
  t.is(exitCode, 3);
  t.regex(stdout, /^too few runs/m);
  t.regex(stdout, /^verdict: too few runs to tell: /m);
});
