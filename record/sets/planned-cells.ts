/** Which cells a set was meant to have, as a file in its folder: they are shown as missing where there is no run of them. */
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { CodedError } from '../../foundation/coded-error.ts';
import {
  type PlannedRun,
  parsePlannedCells,
  plannedCellsFile,
  plannedCellsText,
  unionOfPlans,
} from '../../experiments/planned-cells.ts';
import { writeWhole } from '../whole-file.ts';

/**
 * Undefined where the set has no such file: it was made before there was one.
 * @throws CodedError 'record' `not-readable`, with the place in the file and what is valid there
 */
export async function readPlannedCells(set: string): Promise<readonly PlannedRun[] | undefined> {
  const file = path.join(set, plannedCellsFile);
  if (!existsSync(file)) return undefined;
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new CodedError('record', 'not-readable', `cannot read ${file}`, { cause: error });
  });
  const parsed = parsePlannedCells(text);
  if (!parsed.ok)
    throw new CodedError(
      'record',
      'not-readable',
      `${file} is not a record of planned cells: ${parsed.problem}`,
    );
  return parsed.cells;
}

/**
 * Adds cells to those that the set's file has, and makes folder and file where there are none. Whole or not at all: a
 * crash must not leave half a file.
 * @throws CodedError 'record' `not-readable` if the file that is there is broken; it is left as it is. `not-writable`
 */
export async function addPlannedCells(set: string, cells: readonly PlannedRun[]): Promise<void> {
  const planned = unionOfPlans((await readPlannedCells(set)) ?? [], cells);
  const file = path.join(set, plannedCellsFile);
  await writeWhole(file, async (unfinished) => {
    await mkdir(set, { recursive: true });
    await writeFile(unfinished, plannedCellsText(planned));
  });
}
