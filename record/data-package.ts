/** datapackage.json: what the tables beside it hold, for programs that read Frictionless Data Packages. From the columns. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { typeOf } from './definition.ts';
import { type RunColumn, runColumnNames, runColumns } from './run-columns.ts';
import { writeWhole } from './whole-file.ts';

export const dataPackageFile = 'datapackage.json';

const types = { text: 'string', number: 'number', boolean: 'boolean', datetime: 'datetime' } as const;

function fieldOf(name: RunColumn) {
  const { unit, meaning } = runColumns[name];
  const type = typeOf(unit);
  // `unit` is ours: Table Schema has no property for it, and lets others be.
  // The default format has no fractions of a second.
  const format = type === 'datetime' ? { format: 'any' } : {};
  return { name, type: types[type], ...format, description: meaning, unit };
}

export function dataPackage(name: string) {
  return {
    profile: 'tabular-data-package',
    name: name.toLowerCase().replaceAll(/[^a-z0-9._/-]/g, '-'),
    title: 'Migrations of a database VM, a row for each run',
    resources: [
      {
        profile: 'tabular-data-resource',
        name: 'runs',
        path: 'runs.csv',
        format: 'csv',
        mediatype: 'text/csv',
        encoding: 'utf-8',
        schema: {
          fields: runColumnNames.map(fieldOf),
          primaryKey: ['run_id'],
          missingValues: [''],
        },
      },
    ],
  };
}

/** Beside the runs.csv of a set. @param name of the set: its folder's, unless that is yet to get it */
export async function writeDataPackage(
  folder: string,
  name = path.basename(path.resolve(folder)),
): Promise<void> {
  const file = path.join(folder, dataPackageFile);
  const text = JSON.stringify(dataPackage(name), undefined, 2);
  await writeWhole(file, (unfinished) => writeFile(unfinished, `${text}\n`));
}
