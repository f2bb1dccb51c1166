/** `npm run derive` as a program, on copies of what results/ holds. */
import { existsSync, globSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import test from 'ava';
import { parse } from 'csv-parse/sync';
import { execa } from 'execa';
import { runsCsv } from '../../record/csv.ts';
import { deriveRow } from '../../record/derive/derive.ts';

const results = path.resolve(import.meta.dirname, '../../results');
const derive = (...folders: string[]) =>
  execa(process.execPath, [path.join(import.meta.dirname, 'derive.ts'), ...folders], { reject: false });

type Row = Readonly<Record<string, string>>;
const tableOf = async (folder: string): Promise<Row[]> =>
  parse(await readFile(path.join(folder, 'runs.csv')), { columns: true });
const samplesOf = async (run: string): Promise<string> =>
  (await promisify(gunzip)(await readFile(path.join(run, 'samples.csv.gz')))).toString('utf8');

/** Columns were added since a row was recorded: those that it has must be the same. */
const columnsOf = (row: Row | undefined, recorded: Row): Row =>
  Object.fromEntries(Object.keys(recorded).map((column) => [column, row?.[column] ?? 'gone']));

async function temporaryFolder(t: { teardown: (undo: () => Promise<void>) => void }): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-derive-'));
  t.teardown(() => rm(folder, { recursive: true }));
  return folder;
}

test('every recorded run derives to the row that it holds, and its set holds that too', async (t) => {
  const runs = globSync('reference-*/*/manifest.json', { cwd: results }).map((file) => path.dirname(file));
  t.true(runs.length > 0);
  for (const run of runs) {
    const folder = path.join(results, run);
    const [recorded = {}] = await tableOf(folder);
    const inSet = await tableOf(path.dirname(folder));
    const [derived] = parse<Row>(runsCsv([await deriveRow(folder)]), { columns: true });
    t.deepEqual(columnsOf(derived, recorded), recorded, run);
    // A set's table may have columns that are younger than its runs: they are empty there.
    const ofSet = inSet.find(({ run_id }) => run_id === recorded['run_id']);
    t.deepEqual(columnsOf(ofSet, recorded), recorded, run);
  }
});

test('the tables of a set of compressed runs are made again', async (t) => {
  const recorded = path.join(results, 'reference-2026-11-26-restart');
  const set = path.join(await temporaryFolder(t), 'set');
  await cp(recorded, set, { recursive: true });
  const [run = ''] = globSync('*/manifest.json', { cwd: set }).map((file) => path.dirname(file));
  // Without them there is nothing else that they could come from.
  for (const table of ['runs.csv', `${run}/runs.csv`, `${run}/samples.csv.gz`])
    await rm(path.join(set, table));

  const { exitCode, stderr, stdout } = await derive(set);
  t.is(exitCode, 0, stderr);
  t.is(stdout, `${set}: 1 run`);
  const [ofSet] = await tableOf(set);
  const [ofRun] = await tableOf(path.join(set, run));
  t.deepEqual(ofSet, ofRun);
  t.regex(ofRun?.['revision'] ?? '', /^[0-9a-f]{40}$/);
  t.is(ofRun?.['dirty'], 'false');
  t.is(await samplesOf(path.join(set, run)), await samplesOf(path.join(recorded, run)));
  t.false(existsSync(path.join(set, run, 'samples.csv')));
});

test('a folder that is no run and no set is refused', async (t) => {
  const { exitCode, stderr } = await derive(path.join(await temporaryFolder(t), 'none'));
  t.is(exitCode, 2);
  t.regex(stderr, /^derive: cannot read the folder/);
});
