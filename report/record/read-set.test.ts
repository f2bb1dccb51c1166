import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { runsCsv } from '../../record/csv.ts';
import { plannedCellsFile, plannedCellsText } from '../../experiments/planned-cells.ts';
import { cellsOf } from './cells.ts';
import { differencesAmong } from './conditions.ts';
import { readSet } from './read-set.ts';
import { parseRunRows } from './run-row.ts';
import { phasesOf } from './phases.ts';

const fixtures = path.join(import.meta.dirname, '../testing/fixtures');

/** Another run than the one that it is copied from. */
async function copyAsOther(from: string, to: string): Promise<void> {
  await cp(from, to, { recursive: true });
  const file = path.join(to, 'manifest.json');
  const manifest = await readFile(file, 'utf8');
  await writeFile(file, manifest.replace(/"runId": "/, `$&${path.basename(to)}-`));
}

test('reads a recorded set and a recorded run', async (t) => {
  for (const folder of ['lab', 'lab/rw-16-precopy-r1']) {
    const { runs } = await readSet([path.join(fixtures, folder)]);
    t.is(runs.length, 1);
    const [run] = runs;
    t.is(run?.name, 'rw-16-precopy-r1');
    t.is(run?.row.engine, 'precopy');
    t.is(run?.row.pages_listed, undefined);
    t.true((run?.series.get('src ram_remaining_bytes')?.length ?? 0) > 100);
    t.is(run?.events.find(({ event }) => event === 'migrate-command')?.tMs, 0);
  }
});

test('finds the phases of a recorded migration', async (t) => {
  const { runs } = await readSet([path.join(fixtures, 'verified')]);
  const [run] = runs;
  t.truthy(run);
  const phases = run === undefined ? [] : phasesOf(run);
  const total = run?.row.total_time_ms ?? 0;
  t.deepEqual(
    [...new Set(phases.map(({ phase }) => phase))],
    ['list', 'first-pass', 'further-passes', 'restore', 'gate'],
  );
  for (const { phase, fromMs, toMs } of phases) {
    t.true(fromMs >= 0 && fromMs < toMs, phase);
    t.true(toMs <= total, phase);
  }
});

test('a run that did not converge is drawn to where it was cancelled', async (t) => {
  const beyond = path.join(import.meta.dirname, '../../results/reference-2026-11-26-beyond/rw-4-precopy-r1');
  const [run] = (await readSet([beyond])).runs;
  t.is(run?.row.outcome, 'not-converged');
  const lastMs = Math.max(...(run === undefined ? [] : phasesOf(run).map(({ toMs }) => toMs)));
  t.is(Math.round(lastMs / 1000), 480);
});

test('names what differs between runs', async (t) => {
  const { runs } = await readSet(['lab', 'verified'].map((name) => path.join(fixtures, name)));
  const names = differencesAmong(runs).map(({ condition }) => condition);
  t.deepEqual(names, [
    'time limit',
    'load before',
    'load after',
    'RAM comparison',
    'memory / pool / tables of row 16',
  ]);
  t.deepEqual(differencesAmong(runs.slice(0, 1)), []);
});

test('leaves out runs without figures or with failed checks, and says why', async (t) => {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'report-'));
  try {
    const good = path.join(fixtures, 'lab/rw-16-precopy-r1');
    for (const name of ['r1', 'r2', 'r3.failed-1', 'r4'])
      await copyAsOther(good, path.join(dir, `rw-16-precopy-${name}`));
    await rm(path.join(dir, 'rw-16-precopy-r4', 'runs.csv'));
    await writeFile(
      path.join(dir, 'rw-16-precopy-r2', 'runs.csv'),
      'run_id,outcome,scenario,engine,mem_gib,scale,repeat,link_bits_per_second\nx,failed,rw,precopy,16,8,1,125000000\n',
    );
    const set = await readSet([dir]);
    t.deepEqual(
      set.runs.map(({ name }) => name),
      ['rw-16-precopy-r1'],
    );
    t.deepEqual(set.leftOut, [
      { name: 'rw-16-precopy-r2', reason: 'failed' },
      { name: 'rw-16-precopy-r4', reason: 'has no numbers (no row in runs.csv)' },
    ]);
    const cell = { set: dir, scenario: 'rw', paperRowGib: 16, engine: 'precopy' };
    t.deepEqual(set.planned, [cell, cell]);
    t.is((await readSet([dir], { failedToo: true })).runs.length, 2);
    const failed = path.join(dir, 'rw-16-precopy-r2', 'runs.csv');
    await cp(failed, path.join(dir, 'rw-16-precopy-r3.failed-1', 'runs.csv'));
    // What did not end as failed, such as one that was interrupted, says nothing of the build.
    await copyAsOther(good, path.join(dir, 'rw-16-precopy-r3.failed-2'));
    t.deepEqual(
      (await readSet([dir], { failedToo: true, setAsideToo: true })).runs.map(({ name }) => name),
      ['rw-16-precopy-r1', 'rw-16-precopy-r2', 'rw-16-precopy-r3.failed-1'],
    );
    t.is((await readSet([dir], { failedToo: true })).runs.length, 2);

    await writeFile(path.join(dir, 'rw-16-precopy-r1', 'runs.csv'), 'run_id,mem_gib\nx,much\n');
    await t.throwsAsync(readSet([dir]), {
      code: 'not-readable',
      message: /rw-16-precopy-r1.runs\.csv is not as described: mem_gib: "much" is not a number$/,
    });
    await writeFile(path.join(dir, 'rw-16-precopy-r1', 'manifest.json'), '{"format":2}');
    await cp(path.join(good, 'runs.csv'), path.join(dir, 'rw-16-precopy-r1', 'runs.csv'));
    await t.throwsAsync(readSet([dir]), {
      code: 'not-readable',
      message: /rw-16-precopy-r1.manifest\.json is not as described: format: [^\n]+$/,
    });
    await t.throwsAsync(readSet([os.devNull]), { code: 'not-readable' });
  } finally {
    await rm(dir, { recursive: true });
  }
});

test('what is given twice is read once, whatever the order and the path', async (t) => {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'report-'));
  t.teardown(() => rm(dir, { recursive: true }));
  const set = path.join(dir, 'set');
  const run = path.join(set, 'rw-16-precopy-r1');
  await cp(path.join(fixtures, 'lab/rw-16-precopy-r1'), run, { recursive: true });
  await writeFile(
    path.join(set, plannedCellsFile),
    plannedCellsText([
      { scenario: 'rw', mem: '16', engine: 'precopy', repeat: 1 },
      { scenario: 'rw', mem: '16', engine: 'precopy', repeat: 2 },
    ]),
  );
  const link = path.join(dir, 'link');
  await symlink(set, link);
  const linkedRun = path.join(link, 'rw-16-precopy-r1');
  for (const folders of [
    [set, set],
    [set, link],
    [set, run],
    [linkedRun, `${set}/`],
  ]) {
    const { runs, leftOut, names } = await readSet(folders);
    t.deepEqual(
      runs.map((one) => path.basename(one.set)),
      ['set'],
    );
    t.deepEqual(
      leftOut.map(({ name }) => name),
      ['rw-16-precopy-r2'],
    );
    t.is(names.length, 2);
  }
  t.is((await readSet([run, linkedRun])).runs.length, 1);
});

test('copies of one run in two sets are one run, and no repeats', async (t) => {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'report-'));
  t.teardown(() => rm(dir, { recursive: true }));
  const run = path.join(fixtures, 'lab/rw-16-precopy-r1');
  const [shard, merged] = ['shard', 'merged'].map((name) => path.join(dir, name));
  for (const set of [shard, merged])
    await cp(run, path.join(set ?? '', 'rw-16-precopy-r1'), { recursive: true });
  const { runs, leftOut } = await readSet([merged ?? '', shard ?? '']);
  t.deepEqual(
    runs.map(({ set }) => path.basename(set)),
    ['merged'],
  );
  t.deepEqual(leftOut, []);
});

test('a copy of a run in its own set is no repeat, and is named', async (t) => {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'report-'));
  t.teardown(() => rm(dir, { recursive: true }));
  const run = path.join(fixtures, 'lab/rw-16-precopy-r1');
  for (const name of ['rw-16-precopy-r1', 'rw-16-precopy-r1 (copy)'])
    await cp(run, path.join(dir, name), { recursive: true });
  const { runs, leftOut, planned } = await readSet([dir]);
  t.deepEqual(
    runs.map(({ name }) => name),
    ['rw-16-precopy-r1'],
  );
  t.deepEqual(leftOut, [{ name: 'rw-16-precopy-r1 (copy)', reason: 'is a copy of rw-16-precopy-r1' }]);
  t.deepEqual(planned, []);
});

test('a run of a load or memory row that no figure has a place for is named', async (t) => {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'report-'));
  t.teardown(() => rm(dir, { recursive: true }));
  const run = path.join(fixtures, 'lab/rw-16-precopy-r1');
  const manifest = await readFile(path.join(run, 'manifest.json'), 'utf8');
  const row = await readFile(path.join(run, 'runs.csv'), 'utf8');
  const later = [
    ['tpcds-16-precopy-r1', '"scenario": "rw"', '"scenario": "tpcds"', ',rw,', ',tpcds,'],
    ['rw-32-precopy-r1', /"(?:memoryRow|paperRowGib)": [^,]+/, '"paperRowGib": 32', ',rw,16,', ',rw,32,'],
  ] as const;
  for (const [name, from, to, cell, inRow] of later) {
    await copyAsOther(run, path.join(dir, name));
    t.regex(manifest, new RegExp(from));
    const file = path.join(dir, name, 'manifest.json');
    await writeFile(file, (await readFile(file, 'utf8')).replace(from, to));
    t.true(row.includes(cell));
    await writeFile(path.join(dir, name, 'runs.csv'), row.replace(cell, inRow));
  }
  const { runs, leftOut } = await readSet([dir]);
  t.deepEqual(runs, []);
  t.deepEqual(leftOut, [
    { name: 'rw-32-precopy-r1', reason: 'has a memory row that this version does not know: 32' },
    { name: 'tpcds-16-precopy-r1', reason: 'has a load that this version does not know: tpcds' },
  ]);
});

test('a row of another run, and a time that nothing can be divided by, are named', async (t) => {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'report-'));
  t.teardown(() => rm(dir, { recursive: true }));
  const run = path.join(dir, 'run');
  await cp(path.join(fixtures, 'lab/rw-16-precopy-r1'), run, { recursive: true });
  const file = path.join(run, 'runs.csv');
  const table = await readFile(file, 'utf8');
  await cp(path.join(fixtures, 'verified/rw-16-restore-r1/runs.csv'), file);
  await t.throwsAsync(readSet([dir]), {
    code: 'not-readable',
    message: /runs\.csv is of rw-16-restore-r1, and .*manifest\.json of rw-16-precopy-r1$/,
  });
  const [row] = parseRunRows(table);
  for (const total_time_ms of [0, -5]) {
    await writeFile(file, runsCsv(row === undefined ? [] : [{ ...row, total_time_ms }]));
    await t.throwsAsync(readSet([dir]), {
      code: 'not-readable',
      message: /total_time_ms: .* not above zero/,
    });
  }
  await writeFile(file, '');
  t.deepEqual((await readSet([dir])).leftOut, [
    { name: 'run', reason: 'has no numbers (no row in runs.csv)' },
  ]);
});

test('of a committed set, the file that is wrong is named: its one table, or a run’s manifest', async (t) => {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'report-'));
  t.teardown(() => rm(dir, { recursive: true }));
  const set = path.join(dir, 'set');
  await cp(path.join(import.meta.dirname, '../../results/reference-2026-11-28-smoke'), set, {
    recursive: true,
  });
  const table = path.join(set, 'runs.csv');
  const rows = await readFile(table, 'utf8');
  await writeFile(table, rows.replaceAll(',268435456,', ',much,'));
  const { message } = await t.throwsAsync(readSet([set]), { code: 'not-readable' });
  t.true(message.startsWith(`${table} is not as described: vm_memory_bytes: "much"`), message);
  await writeFile(table, rows);
  const manifest = path.join(set, 'rw-4-precopy-r1', 'manifest.json');
  await writeFile(manifest, '');
  const { message: ofManifest } = await t.throwsAsync(readSet([set]));
  t.true(ofManifest.startsWith(`${manifest} is not as described: `), ofManifest);
});

test('where no event says when the migration began, nothing is drawn over time', async (t) => {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'report-'));
  t.teardown(() => rm(dir, { recursive: true }));
  const run = path.join(dir, 'run');
  await cp(path.join(fixtures, 'lab/rw-16-precopy-r1'), run, { recursive: true });
  const events = path.join(run, 'events.jsonl');
  await rm(`${events}.gz`);
  for (const text of [undefined, '{"event":"note","at_ms":1,"text":"cut short here"}\n']) {
    if (text !== undefined) await writeFile(events, text);
    const [read] = (await readSet([run])).runs;
    t.is(read?.row.outcome, 'completed');
    t.is(read?.series.size, 0);
  }
});

test('a set that records its plan says what was never run', async (t) => {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'report-'));
  t.teardown(() => rm(dir, { recursive: true }));
  const plan = [
    { scenario: 'rw', mem: '16', engine: 'precopy', repeat: 1 },
    { scenario: 'rw', mem: '16', engine: 'precopy', repeat: 2 },
    { scenario: 'idle', mem: '4', engine: 'restore', repeat: 1 },
  ] as const;
  const reason = 'was planned, and there is no run of it';
  const places = [
    { set: dir, scenario: 'rw', paperRowGib: 16, engine: 'precopy' },
    { set: dir, scenario: 'idle', paperRowGib: 4, engine: 'restore' },
  ];
  await writeFile(path.join(dir, plannedCellsFile), plannedCellsText(plan));
  t.is((await readSet([dir])).leftOut.length, 3, 'nothing was run yet');

  const run = path.join(dir, 'rw-16-precopy-r1');
  await cp(path.join(fixtures, 'lab/rw-16-precopy-r1'), run, { recursive: true });
  const set = await readSet([dir]);
  t.is(set.runs.length, 1);
  t.deepEqual(set.leftOut, [
    { name: 'rw-16-precopy-r2', reason, neverBegun: true },
    { name: 'idle-4-restore-r1', reason, neverBegun: true },
  ]);
  t.deepEqual(set.planned, places);
  t.deepEqual(set.recordedPlans, [dir]);
  const cells = cellsOf(set).map(({ scenario, paperRowGib, engine, runs }) => [
    scenario,
    paperRowGib,
    engine,
    runs.length,
  ]);
  t.deepEqual(cells, [
    ['idle', 4, 'restore', 0],
    ['rw', 16, 'precopy', 1],
  ]);
  // One goes on, and one is yet to come, where the set still grows.
  const goesOn = path.join(dir, 'rw-16-precopy-r2');
  await copyAsOther(run, goesOn);
  await rm(path.join(goesOn, 'runs.csv'));
  const growing = await readSet([dir], { growing: true });
  t.like(growing, { leftOut: [], planned: [], recordedPlans: [dir] });
  t.is(growing.runs.length, 1);
  // A run that is given by itself is no set.
  t.like(await readSet([run]), { leftOut: [], planned: [], recordedPlans: [] });

  await writeFile(path.join(dir, plannedCellsFile), '{"format":1,"cells":[{"scenario":"rw","mem":16}]}');
  await t.throwsAsync(readSet([dir]), {
    code: 'not-readable',
    message: /planned-cells\.json is not a record of planned cells: cells\[0\]\.mem 16: valid: 4, 8, 16, 24/,
  });
});
