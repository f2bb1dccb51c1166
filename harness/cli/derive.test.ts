/** `npm run derive` as a program, on copies of what results/ holds. */
import { existsSync, globSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import test from 'ava';
import { parse } from 'csv-parse/sync';
import { execa } from 'execa';
import { runsCsv } from '../../record/csv.ts';
import { deriveRow } from '../../record/derive/derive.ts';
import { readSamples } from '../../record/read-run.ts';

const results = path.resolve(import.meta.dirname, '../../results');
const derive = (...folders: string[]) =>
  execa(process.execPath, [path.join(import.meta.dirname, 'derive.ts'), ...folders], { reject: false });

type Row = Readonly<Record<string, string>>;
const tableOf = async (folder: string): Promise<Row[]> =>
  parse(await readFile(path.join(folder, 'runs.csv')), { columns: true });
async function temporaryFolder(t: { teardown: (undo: () => Promise<void>) => void }): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-derive-'));
  t.teardown(() => rm(folder, { recursive: true }));
  return folder;
}

test('every recorded run derives to its row in the set', async (t) => {
  const sets = globSync('reference-*', { cwd: results });
  t.true(sets.length > 0);
  for (const set of sets) {
    const runs = globSync('*/manifest.json', { cwd: path.join(results, set) }).map((file) =>
      path.dirname(file),
    );
    const rows = await Promise.all(runs.map((run) => deriveRow(path.join(results, set, run))));
    const derived = parse<Row>(runsCsv(rows), { columns: true });
    const recorded = await tableOf(path.join(results, set));
    t.is(recorded.length, runs.length, set);
    // Columns were added since a table was written: those that it has must be the same.
    for (const row of recorded) {
      const own = derived.find(({ run_id }) => run_id === row['run_id']) ?? {};
      t.deepEqual(
        Object.fromEntries(Object.keys(row).map((column) => [column, own[column] ?? 'gone'])),
        row,
        set,
      );
    }
  }
});

test('the tables of a set are made again, with every sample in a line', async (t) => {
  const recorded = path.join(results, 'reference-2026-11-29-restart');
  const set = path.join(await temporaryFolder(t), 'set');
  // One run of it is enough, in which nobody was served for a while.
  await cp(recorded, set, { recursive: true, filter: (from) => !/\/(?:idle|ro)-16-/.test(from) });
  const [run = ''] = globSync('*/manifest.json', { cwd: set }).map((file) => path.dirname(file));
  // Without them there is nothing else that they could come from.
  await rm(path.join(set, 'runs.csv'));

  const { exitCode, stderr, stdout } = await derive(set);
  t.is(exitCode, 0, stderr);
  t.is(stdout, `${set}: 1 run`);
  const [ofSet] = await tableOf(set);
  const [ofRun] = await tableOf(path.join(set, run));
  t.deepEqual(ofSet, ofRun);
  t.regex(ofRun?.['revision'] ?? '', /^[0-9a-f]{40}$/);
  t.is(ofRun?.['dirty'], 'false');
  const samples = parse<Row>(await readFile(path.join(set, run, 'samples.csv')), { columns: true });
  const raw = (await readSamples(path.join(recorded, run))) ?? [];
  // The seconds in which nobody was served are added.
  const silent = samples.length - raw.length;
  t.true(
    silent > 0 && samples.filter(({ metric, value }) => metric === 'tps' && value === '0').length >= silent,
  );
  const times = samples.map((sample) => Number(sample['t_ms']));
  t.deepEqual(
    times,
    times.toSorted((a, b) => a - b),
  );
  t.true((times[0] ?? 0) < 0 && (times.at(-1) ?? 0) > Number(ofRun?.['total_time_ms']));
});

test('a table that was cut short, a run’s or a set’s, is made again', async (t) => {
  const set = path.join(await temporaryFolder(t), 'set');
  await cp(path.join(results, 'reference-2026-11-28-smoke'), set, { recursive: true });
  const whole = runsCsv(
    await Promise.all(['rw-4-precopy-r1', 'rw-4-restore-r1'].map((run) => deriveRow(path.join(set, run)))),
  );
  for (const folder of [set, path.join(set, 'rw-4-precopy-r1')]) {
    await writeFile(path.join(folder, 'runs.csv'), whole.slice(0, -100));
    const { exitCode, stderr } = await derive(set);
    t.is(exitCode, 0, stderr);
    t.is(await readFile(path.join(set, 'runs.csv'), 'utf8'), whole);
  }
});

test('a run that was recorded before samples.parquet is read, and packed once it has ended', async (t) => {
  const run = path.join(await temporaryFolder(t), 'run');
  const recorded = path.join(results, 'reference-2026-11-29-restart', 'rw-16-restart-r1');
  await cp(recorded, run, { recursive: true });
  const samples = (await readSamples(recorded)) ?? [];
  const lines = samples.map((sample) => `${JSON.stringify(sample)}\n`).join('');
  const events = gunzipSync(await readFile(path.join(run, 'events.jsonl.gz'))).toString('utf8');
  const row = await deriveRow(run);
  await rm(path.join(run, 'samples.parquet'));
  await writeFile(path.join(run, 'samples.jsonl.gz'), gzipSync(lines));
  await writeFile(path.join(run, 'events.jsonl'), events.replace(/^.*"run-ended".*\n/m, ''));

  t.is((await derive(run)).exitCode, 0);
  t.false(existsSync(path.join(run, 'samples.parquet')), 'it may be written to still');
  t.deepEqual(await deriveRow(run), { ...row, outcome: undefined });

  await rm(path.join(run, 'events.jsonl'));
  t.is((await derive(run)).exitCode, 0);
  t.false(existsSync(path.join(run, 'samples.jsonl.gz')));
  t.deepEqual(await readSamples(run), samples);
  t.deepEqual(await deriveRow(run), row);
});

test('samples as they were written are kept until the packed ones beside them are whole', async (t) => {
  const run = path.join(await temporaryFolder(t), 'run');
  const recorded = path.join(results, 'reference-2026-11-29-restart', 'rw-16-restart-r1');
  await cp(recorded, run, { recursive: true });
  const packed = path.join(run, 'samples.parquet');
  const raw = path.join(run, 'samples.jsonl');
  const samples = (await readSamples(recorded)) ?? [];
  await writeFile(raw, samples.map((sample) => `${JSON.stringify(sample)}\n`).join(''));
  for (const cut of [0, 4096]) {
    await cp(raw, `${raw}.kept`);
    await writeFile(packed, (await readFile(path.join(recorded, 'samples.parquet'))).subarray(0, cut));
    const { exitCode, stderr } = await derive(run);
    t.is(exitCode, 0, stderr);
    t.deepEqual(await readSamples(run), samples);
    t.false(existsSync(raw));
    await cp(`${raw}.kept`, raw);
  }
});

test('a table that cannot be written is named with the reason, and nothing half made is left', async (t) => {
  const run = path.join(await temporaryFolder(t), 'run');
  await cp(path.join(results, 'reference-2026-11-28-smoke', 'rw-4-precopy-r1'), run, { recursive: true });
  for (const table of ['samples.csv', 'runs.csv']) {
    const inItsPlace = path.join(run, table);
    await rm(inItsPlace, { force: true });
    await mkdir(inItsPlace);
    const { exitCode, stderr } = await derive(run);
    t.is(exitCode, 1);
    t.regex(stderr, new RegExp(`^derive: cannot write ${inItsPlace}: EISDIR: .*$`));
    t.deepEqual(
      (await readdir(run)).filter((name) => name.endsWith('.new')),
      [],
    );
  }
});

test('a folder that is no run and no set is refused', async (t) => {
  const { exitCode, stderr } = await derive(path.join(await temporaryFolder(t), 'none'));
  t.is(exitCode, 2);
  t.regex(stderr, /^derive: cannot read the folder/);
});
