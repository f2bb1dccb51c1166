import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { CodedError } from '../../foundation/coded-error.ts';
import { plannedCellsFile } from '../../experiments/planned-cells.ts';
import { readManifest, writeManifest } from '../../record/manifest.ts';
import { addPlannedCells, readPlannedCells } from '../../record/sets/planned-cells.ts';
import { manifest } from '../../record/record.fixture.ts';
import { cellsPlannedBefore, doneRow, refuseOtherRuns, setAside } from './resume.ts';
import { foldersOfVms } from '../../record/run-vms.ts';

const { configuration } = manifest;

async function temporaryFolder(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-resume-'));
  t.teardown(() => rm(folder, { recursive: true }));
  return folder;
}

test('a set that is not there, or has runs of these options, can be gone on with', async (t) => {
  const set = await temporaryFolder(t);
  const [there, other] = ['there', 'other'].map((name) => path.join(set, name)) as [string, string];
  await mkdir(there);
  await writeManifest(there, manifest);
  const places = [there, other].map((folder) => ({ folder, configuration }));
  await t.notThrowsAsync(refuseOtherRuns(set, places));
  await t.notThrowsAsync(refuseOtherRuns(path.join(set, 'none'), [{ folder: other, configuration }]));
});

test('a run with other options is refused, whichever it is, and so is a broken file', async (t) => {
  const set = await temporaryFolder(t);
  const [first, last] = ['first', 'last'].map((name) => path.join(set, name)) as [string, string];
  for (const folder of [first, last]) await mkdir(folder);
  await writeManifest(first, manifest);
  await writeManifest(last, { ...manifest, configuration: { ...configuration, seed: 2 } });
  const places = [first, last].map((folder) => ({ folder, configuration }));
  const refused = async (message: RegExp, code = 'not-readable') => {
    await t.throwsAsync(refuseOtherRuns(set, places), { instanceOf: CodedError, code, message });
  };
  await refused(/last holds a run with other options; give another --out/, 'usage');
  await writeFile(path.join(last, 'manifest.json'), '{');
  await refused(/last.manifest\.json is not a manifest/);
  await writeFile(path.join(set, plannedCellsFile), '{"format":1,"cells":[{"scenario":"rq"}]}');
  await refused(
    /planned-cells\.json is not a record of planned cells: cells\[0\]\.scenario "rq": valid: idle/,
  );
  t.deepEqual((await readdir(set)).sort(), ['first', 'last', plannedCellsFile]);
});

test('runs that are done are of this build, from whichever list of machines', async (t) => {
  const root = path.join(import.meta.dirname, '../..');
  const set = path.join(root, 'results/reference-2026-11-28-smoke');
  const names = (await readdir(set)).filter(
    (name) => name.startsWith('idle') || name.startsWith('rw') || name.startsWith('ro'),
  );
  const places = await Promise.all(
    names.map(async (name) => {
      const folder = path.join(set, name);
      return { folder, configuration: (await readManifest(folder)).configuration };
    }),
  );
  t.true(places.length > 0);
  const before = await readdir(set, { recursive: true });
  await t.throwsAsync(refuseOtherRuns(set, places), { message: /a run of another build \(5f19215/ });
  t.deepEqual(await readdir(set, { recursive: true }), before);

  // One that was cut short is made again, and so may be of any; where machines are listed is no option.
  const cut = await temporaryFolder(t);
  const folder = path.join(cut, 'rw-16-precopy-r1');
  await mkdir(folder);
  await writeManifest(folder, { ...manifest, revision: { commit: 'another', dirty: false } });
  await t.notThrowsAsync(
    refuseOtherRuns(cut, [{ folder, configuration: { ...configuration, inventory: 'rack-b.yaml' } }]),
  );
});

test('the record of a set that had none holds the cells of its runs and those of the matrix that goes on', async (t) => {
  const set = await temporaryFolder(t);
  t.deepEqual(await cellsPlannedBefore(path.join(set, 'none')), []);
  t.deepEqual(await cellsPlannedBefore(set), []);
  const cell = (repeat: number) => ({ scenario: 'rw', mem: '16', engine: 'precopy', repeat }) as const;
  // One is not finished, and an attempt was set aside.
  for (const [name, repeat] of [
    ['rw-16-precopy-r1', 1],
    ['rw-16-precopy-r2', 2],
    ['rw-16-precopy-r4.failed-1', 4],
  ] as const) {
    await mkdir(path.join(set, name));
    await writeManifest(path.join(set, name), { ...manifest, repeat });
  }
  t.deepEqual(await cellsPlannedBefore(set), [cell(1), cell(2)]);
  // As a matrix does it.
  await addPlannedCells(set, [...(await cellsPlannedBefore(set)), cell(2), cell(3)]);
  t.deepEqual(await readPlannedCells(set), [cell(1), cell(2), cell(3)]);

  // The record counts, and no run beside it.
  await addPlannedCells(set, [cell(5)]);
  t.deepEqual(await cellsPlannedBefore(set), [cell(1), cell(2), cell(3), cell(5)]);
  await rm(path.join(set, plannedCellsFile));
  await writeFile(path.join(set, 'rw-16-precopy-r2', 'manifest.json'), '{');
  await t.throwsAsync(cellsPlannedBefore(set), {
    instanceOf: CodedError,
    code: 'not-readable',
    message: /rw-16-precopy-r2.manifest\.json is not a manifest/,
  });
});

test('what was cut short is not done, and is set aside under a name of its own', async (t) => {
  const set = await temporaryFolder(t);
  const folder = path.join(set, 'rw-16-precopy-r1');
  t.is(await doneRow(folder), undefined);
  await setAside([folder]);
  for (const _attempt of [1, 2]) {
    await mkdir(folder);
    await writeManifest(folder, manifest);
    t.is(await doneRow(folder), undefined);
    await setAside([folder]);
  }
  t.deepEqual(await readdir(set), ['rw-16-precopy-r1.failed-1', 'rw-16-precopy-r1.failed-2']);
});

test('both VMs of a run are set aside together', async (t) => {
  const set = await temporaryFolder(t);
  const folders = foldersOfVms(path.join(set, 'rw-8-balance-r1'), 2);
  for (const attempt of [1, 2]) {
    // The first attempt ended before the second VM had a record.
    for (const folder of folders.slice(0, attempt)) await mkdir(folder);
    await setAside(folders);
  }
  t.deepEqual(await readdir(set), [
    'rw-8-balance-r1-vm1.failed-2',
    'rw-8-balance-r1.failed-1',
    'rw-8-balance-r1.failed-2',
  ]);
});
