/** What a matrix with `--resume` finds in its set: runs that are done, runs of other options, attempts to set aside. */
import { existsSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import path from 'node:path';
import { CodedError } from '../../foundation/coded-error.ts';
import { collectRevision } from '../run/versions.ts';
import type { Configuration } from '../../experiments/configuration.ts';
import type { PlannedRun } from '../../experiments/planned-cells.ts';
import { derive, deriveRow } from '../../record/derive/derive.ts';
import { readManifest } from '../../record/manifest.ts';
import { matrixRunOf } from '../../record/sets/merge.ts';
import { readPlannedCells } from '../../record/sets/planned-cells.ts';
import { readRecordedRuns } from '../../record/sets/recorded-sets.ts';
import type { RunRow } from '../../record/run-columns.ts';

const hasRun = (folder: string): boolean => existsSync(path.join(folder, 'manifest.json'));

/** Which machines a run was made on says its pair; the file that lists them may have any name. */
const comparable = ({ inventory: _place, ...configuration }: Configuration): string =>
  JSON.stringify(configuration);

/**
 * Looks at what is in a set before a matrix goes on with it, and changes nothing.
 * @param places the folders of the matrix's runs, which need not be there, and what they are to be
 * @param root of the checkout, whose commit those that are done have to be of
 * @throws CodedError 'command', 'usage' if one holds a run with other options or of another build; CodedError 'record', 'not-readable'
 */
export async function refuseOtherRuns(
  set: string,
  places: readonly { readonly folder: string; readonly configuration: Configuration }[],
  root = path.join(import.meta.dirname, '../..'),
): Promise<void> {
  const { commit } = await collectRevision(root);
  await readPlannedCells(set);
  for (const { folder, configuration } of places.filter((place) => hasRun(place.folder))) {
    const manifest = await readManifest(folder);
    const made = manifest.revision.commit;
    if (made !== commit && isDone(await deriveRow(folder).catch(() => undefined)))
      throw new CodedError(
        'command',
        'usage',
        `${folder} holds a run of another build (${made ?? 'no commit'}; this one is ${commit ?? 'no commit'}); give another --out, or check that commit out`,
      );
    if (comparable(manifest.configuration) !== comparable(configuration))
      throw new CodedError(
        'command',
        'usage',
        `${folder} holds a run with other options; give another --out, or the options that it was made with`,
      );
  }
}

/**
 * Cells that were planned for a set before a matrix goes on with it. One that was made before sets had a record of them
 * counts with its runs: once the record is there, it is what the set was meant to have.
 * @throws CodedError 'record', 'not-readable'
 */
export async function cellsPlannedBefore(set: string): Promise<readonly PlannedRun[]> {
  if (!existsSync(set)) return [];
  return (
    (await readPlannedCells(set)) ??
    (await readRecordedRuns(set)).map(({ manifest }) => matrixRunOf(manifest))
  );
}

/** A run that failed or was interrupted is not done; one that did not converge is. */
const isDone = (row: RunRow | undefined): boolean =>
  row?.outcome === 'completed' || row?.outcome === 'not-converged';

/** The figures of a cell that is done; its table is made again. */
export async function doneRow(folder: string): Promise<RunRow | undefined> {
  if (!hasRun(folder)) return undefined;
  const row = await derive(folder).catch(() => undefined);
  return isDone(row) ? row : undefined;
}

/**
 * Keeps the evidence of a run that failed before, out of the way of the next attempt.
 * @param folders of its VMs
 */
export async function setAside(folders: readonly string[]): Promise<void> {
  const there = folders.filter((folder) => existsSync(folder));
  let attempt = 1;
  while (folders.some((folder) => existsSync(`${folder}.failed-${attempt}`))) attempt += 1;
  for (const folder of there) await rename(folder, `${folder}.failed-${attempt}`);
}
