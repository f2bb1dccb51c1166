/** Tables of the committed sets and the descriptor that is made for them, checked by the Frictionless project's own library: it reads every cell. */
import { globSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { execa } from 'execa';
import { dataPackageFile, writeDataPackage } from './data-package.ts';

const results = path.resolve(import.meta.dirname, '../results');
const project = path.resolve(import.meta.dirname, '..');

/** Untyped, and old: it runs by itself. Prints how many rows are as described, or what is wrong. */
const check = (file: string) =>
  execa(
    process.execPath,
    [
      '--no-deprecation',
      '--input-type=module',
      '--eval',
      `import { Package } from 'datapackage';
       const dataPackage = await Package.load(process.argv[1], { strict: true });
       const rows = await dataPackage.getResource('runs').read({ keyed: true });
       console.log(rows.length);`,
      file,
    ],
    { cwd: project, reject: false },
  );

const sets = globSync('reference-*', { cwd: results });

/** The set's table with its descriptor. */
async function describedCopy(t: ExecutionContext, set: string): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-package-'));
  t.teardown(() => rm(folder, { recursive: true }));
  await cp(path.join(results, set, 'runs.csv'), path.join(folder, 'runs.csv'));
  await writeDataPackage(folder, set);
  return folder;
}

for (const set of sets)
  test(`the descriptor of ${set} is valid, and every cell of its table is as it says`, async (t) => {
    const { exitCode, stdout, stderr } = await check(path.join(await describedCopy(t, set), dataPackageFile));
    t.is(exitCode, 0, stderr);
    t.is(Number(stdout), globSync('*/manifest.json', { cwd: path.join(results, set) }).length);
  });

test('there are such sets, and a wrong cell is found', async (t) => {
  t.true(sets.length > 0);
  const folder = await describedCopy(t, sets[0] ?? '');
  const table = path.join(folder, 'runs.csv');
  await writeFile(table, (await readFile(table, 'utf8')).replace(/,(true|false),/, ',perhaps,'));
  const { exitCode, stderr } = await check(path.join(folder, dataPackageFile));
  t.is(exitCode, 1);
  t.regex(stderr, /perhaps|cast/i);
});
