import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { matrixRuns } from '../../experiments/matrix.ts';
import { plannedCellsFile } from '../../experiments/planned-cells.ts';
import { addPlannedCells, readPlannedCells } from './planned-cells.ts';

const cells = matrixRuns({ scenarios: ['rw'], mems: ['16'], engines: ['precopy', 'restore'], repeat: 2 });

async function temporaryFolder(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-planned-'));
  t.teardown(() => rm(folder, { recursive: true }));
  return folder;
}

test('cells are recorded, and those of a later matrix added; nothing else is left in the folder', async (t) => {
  const set = path.join(await temporaryFolder(t), 'not', 'there', 'yet');
  t.is(await readPlannedCells(set), undefined);
  await addPlannedCells(set, cells.slice(0, 3));
  t.deepEqual(await readPlannedCells(set), cells.slice(0, 3));
  await addPlannedCells(set, cells.slice(2));
  t.deepEqual(await readPlannedCells(set), cells);
  t.deepEqual(await readdir(set), [plannedCellsFile]);
});

test('a broken file is named with its place and what is valid, and is left as it is', async (t) => {
  const set = await temporaryFolder(t);
  const file = path.join(set, plannedCellsFile);
  const broken = '{"format":1,"cells":[{"scenario":"rw","mem":"12","engine":"precopy","repeat":1}]}';
  await writeFile(file, broken);
  const said = `${file} is not a record of planned cells: cells[0].mem "12": valid: 4, 8, 16, 24`;
  await t.throwsAsync(readPlannedCells(set), { code: 'not-readable', message: said });
  await t.throwsAsync(addPlannedCells(set, cells), { code: 'not-readable', message: said });
  t.is(await readFile(file, 'utf8'), broken);
});

test('where it cannot be written nothing half made is left', async (t) => {
  const set = await temporaryFolder(t);
  // As a folder it can be neither read nor replaced.
  await mkdir(path.join(set, plannedCellsFile));
  await t.throwsAsync(addPlannedCells(set, cells), { code: 'not-readable' });
  t.deepEqual(await readdir(set), [plannedCellsFile]);
  const file = path.join(set, 'file');
  await writeFile(file, '');
  await t.throwsAsync(addPlannedCells(path.join(file, 'set'), cells), { code: 'not-writable' });
  t.deepEqual((await readdir(set)).sort(), ['file', plannedCellsFile].sort());
});
