import { cp, mkdir, mkdtemp, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { execa } from 'execa';
import type { EngineName } from '../../experiments/engines.ts';
import { plannedCellsFile } from '../../experiments/planned-cells.ts';
import { writeRunsCsv } from '../../record/csv.ts';
import { type Manifest, writeManifest } from '../../record/manifest.ts';
import { addPlannedCells, readPlannedCells } from '../../record/sets/planned-cells.ts';
import { manifest } from '../../record/record.fixture.ts';

const merge = (...arguments_: string[]) =>
  execa(process.execPath, [path.join(import.meta.dirname, 'merge.ts'), ...arguments_], { reject: false });

async function temporaryFolder(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-merge-'));
  t.teardown(() => rm(folder, { recursive: true }));
  return folder;
}

interface WrittenRun {
  readonly engine: EngineName;
  /** None: the run was cut short. */
  readonly outcome?: string;
  readonly changes?: Partial<Manifest>;
}

async function writeSet(set: string, index: number, runs: readonly WrittenRun[]): Promise<void> {
  for (const { engine, outcome, changes } of runs) {
    const folder = path.join(set, `rw-16-${engine}-r${index}`);
    await mkdir(folder, { recursive: true });
    const runId = `${engine}-${index}`;
    const shard = { index, count: 2 };
    const configuration = { ...manifest.configuration, engine };
    await writeManifest(folder, { ...manifest, runId, repeat: index, shard, configuration, ...changes });
    await writeFile(path.join(folder, 'events.jsonl'), `${runId}\n`);
    const row = { run_id: runId, outcome, engine, total_time_ms: 1234.5678, tables_ok: true };
    if (outcome !== undefined) await writeRunsCsv(path.join(folder, 'runs.csv'), [row]);
  }
}

test('shards become one set', async (t) => {
  const folder = await temporaryFolder(t);
  const [one, two, out] = ['one', 'two', 'all'].map((name) => path.join(folder, name)) as [
    string,
    string,
    string,
  ];
  await writeSet(one, 1, [
    { engine: 'precopy', outcome: 'completed' },
    { engine: 'restore', outcome: 'not-converged' },
  ]);
  await writeSet(two, 2, [{ engine: 'precopy', outcome: 'completed' }]);
  await mkdir(path.join(one, 'rw-16-precopy-r1.failed-1'));
  const { exitCode, stdout } = await merge(one, two, '--out', out, '--json');
  t.is(exitCode, 0);
  t.like(JSON.parse(stdout), {
    set: out,
    runs: ['rw-16-precopy-r1', 'rw-16-restore-r1', 'rw-16-precopy-r2'],
    leftOut: [],
    missingShards: [],
    missingCells: [],
  });
  const folders = ['rw-16-precopy-r1', 'rw-16-precopy-r2', 'rw-16-restore-r1'];
  t.deepEqual((await readdir(out)).sort(), [...folders, 'datapackage.json', 'runs.csv'].sort());
  t.is(await readFile(path.join(out, 'rw-16-precopy-r2', 'events.jsonl'), 'utf8'), 'precopy-2\n');
  const lines = (await readFile(path.join(out, 'runs.csv'), 'utf8')).trim().split('\n');
  t.is(lines.length, 4);
  t.regex(lines[1] ?? '', /^rw-16-precopy-r1,.*completed.*1234\.568.*true/);
  t.deepEqual((await readdir(folder)).sort(), ['all', 'one', 'two'], 'nothing half made is left');
});

test('attempts that were set aside go along, since the gate counts them; others may read the set', async (t) => {
  const folder = await temporaryFolder(t);
  const [one, two, out] = ['one', 'two', 'all'].map((name) => path.join(folder, name)) as [
    string,
    string,
    string,
  ];
  await writeSet(two, 1, [{ engine: 'precopy', outcome: 'failed' }]);
  await rename(path.join(two, 'rw-16-precopy-r1'), path.join(two, 'rw-16-precopy-r1.failed-1'));
  await cp(two, one, { recursive: true });
  await writeSet(one, 1, [{ engine: 'precopy', outcome: 'completed' }]);
  await writeSet(two, 2, [{ engine: 'precopy', outcome: 'completed' }]);
  t.is((await merge(one, two, '--out', out)).exitCode, 0);
  t.deepEqual((await readdir(out)).filter((name) => name.startsWith('rw')).sort(), [
    'rw-16-precopy-r1',
    'rw-16-precopy-r1.failed-1',
    'rw-16-precopy-r1.failed-2',
    'rw-16-precopy-r2',
  ]);
  const table = (await readFile(path.join(out, 'runs.csv'), 'utf8')).trim().split('\n');
  t.is(table.length, 1 + 2);
  t.is((await stat(out)).mode, (await stat(one)).mode);
});

test('what is not finished, failed or not there is named, and the exit code says so', async (t) => {
  const folder = await temporaryFolder(t);
  const one = path.join(folder, 'one');
  await writeSet(one, 1, [
    { engine: 'precopy', outcome: 'failed' },
    { engine: 'restore' },
    { engine: 'balance', outcome: 'completed' },
  ]);
  const { exitCode, stdout, stderr } = await merge(one, '--out', path.join(folder, 'all'));
  t.is(exitCode, 1);
  t.regex(stderr, /left out, not finished: .*rw-16-restore-r1/);
  t.regex(stderr, /no run of shard 2\/2/);
  t.regex(stderr, /failed: rw-16-precopy-r1/);
  t.regex(stdout, /^2 runs of 1 set in/);
});

test('the same cell, other conditions, and what is no set are refused; nothing is written', async (t) => {
  const folder = await temporaryFolder(t);
  const [one, two, out] = ['one', 'two', 'all'].map((name) => path.join(folder, name)) as [
    string,
    string,
    string,
  ];
  await writeSet(one, 1, [{ engine: 'precopy', outcome: 'completed' }]);
  const configuration = { ...manifest.configuration, downtimeLimitMs: 500 };
  await writeSet(two, 2, [{ engine: 'precopy', outcome: 'completed', changes: { configuration } }]);
  for (const [arguments_, said] of [
    [[one, one, '--out', out], /rw-16-precopy-r1 is in .*one and in .*one/],
    [[one, two, '--out', out], /downtimeLimitMs: 300 \(.*one\), 500 \(.*two\)/],
    [[one, '--out', two], /exists already/],
    [[folder, '--out', out], /is not a set of runs/],
    [[path.join(folder, 'none'), '--out', out], /cannot read the folder/],
    [[one], /--out: a folder for the merged set is needed/],
    [['--out', out], /missing required argument/],
  ] as const) {
    const { exitCode, stderr } = await merge(...arguments_);
    t.is(exitCode, 2, stderr);
    t.regex(stderr, said);
  }
  t.deepEqual((await readdir(folder)).sort(), ['one', 'two']);
});

const planned = (engine: EngineName, repeat: number) =>
  ({ scenario: 'rw', mem: '16', engine, repeat }) as const;

test('what was planned for the shards is planned for the set, also that of a shard without a run', async (t) => {
  const folder = await temporaryFolder(t);
  const [one, two, out] = ['one', 'two', 'all'].map((name) => path.join(folder, name)) as [
    string,
    string,
    string,
  ];
  const cells = [planned('precopy', 1), planned('restore', 1), planned('restore', 2), planned('precopy', 2)];
  await writeSet(one, 1, [{ engine: 'precopy', outcome: 'completed' }]);
  await addPlannedCells(one, cells.slice(0, 2));
  await addPlannedCells(two, cells.slice(2));
  const { exitCode, stderr } = await merge(one, two, '--out', out);
  t.is(exitCode, 1);
  t.regex(stderr, /^no run of shard 2\/2$/m);
  t.deepEqual(stderr.match(/(?<=^planned, no run: ).*/gm), [
    'rw-16-restore-r1',
    'rw-16-restore-r2',
    'rw-16-precopy-r2',
  ]);
  t.deepEqual(await readPlannedCells(out), cells);
  t.deepEqual(
    (await readdir(out)).sort(),
    ['datapackage.json', plannedCellsFile, 'runs.csv', 'rw-16-precopy-r1'].sort(),
  );

  const onlyPlanned = await merge(two, '--out', path.join(folder, 'none'));
  t.is(onlyPlanned.exitCode, 2);
  t.regex(onlyPlanned.stderr, /there is no run in .*two/);

  await writeFile(path.join(two, plannedCellsFile), '{"format":1}');
  const broken = await merge(one, two, '--out', path.join(folder, 'none'));
  t.is(broken.exitCode, 2);
  t.regex(
    broken.stderr,
    /two.planned-cells\.json is not a record of planned cells: cells is not there: valid/,
  );
  t.deepEqual((await readdir(folder)).sort(), ['all', 'one', 'two']);
});

test('one planned cell without a run is enough for exit code 1; one that is not finished is named once', async (t) => {
  const folder = await temporaryFolder(t);
  const [one, two] = ['one', 'two'].map((name) => path.join(folder, name)) as [string, string];
  await writeSet(one, 1, [{ engine: 'precopy', outcome: 'completed' }]);
  await writeSet(two, 2, [{ engine: 'precopy', outcome: 'completed' }]);
  await addPlannedCells(one, [planned('precopy', 1)]);
  await addPlannedCells(two, [planned('precopy', 2), planned('balance', 2)]);
  const missing = await merge(one, two, '--out', path.join(folder, 'missing'), '--json');
  t.is(missing.exitCode, 1);
  t.is(missing.stderr, 'planned, no run: rw-16-balance-r2');
  t.like(JSON.parse(missing.stdout), { failed: [], leftOut: [], missingShards: [] });
  t.deepEqual((JSON.parse(missing.stdout) as { missingCells: unknown }).missingCells, ['rw-16-balance-r2']);

  await writeSet(two, 2, [{ engine: 'balance' }]);
  const unfinished = await merge(one, two, '--out', path.join(folder, 'unfinished'));
  t.is(unfinished.exitCode, 1);
  t.regex(unfinished.stderr, /^left out, not finished: .*rw-16-balance-r2$/);

  await writeSet(two, 2, [{ engine: 'balance', outcome: 'completed' }]);
  const whole = await merge(one, two, '--out', path.join(folder, 'whole'));
  t.is(whole.exitCode, 0);
  t.is(whole.stderr, '');
});

test('help names the sets and the exit codes', async (t) => {
  const { exitCode, stdout } = await merge('--help');
  t.is(exitCode, 0);
  t.regex(stdout, /<SET\.\.\.>/);
  t.regex(stdout, /--out <out>/);
  t.regex(stdout, /Exit codes/);
});
