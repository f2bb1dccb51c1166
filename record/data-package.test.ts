/** Descriptor and tables of the committed sets, checked by the Frictionless project's own library: it reads every cell. */
import { globSync, readFileSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { dataPackage, dataPackageFile } from './data-package.ts';

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

const packages = globSync(`reference-*/${dataPackageFile}`, { cwd: results });

for (const file of packages)
  test(`${file} is valid, and every cell of its table is as it says`, async (t) => {
    const set = path.join(results, path.dirname(file));
    const { exitCode, stdout, stderr } = await check(path.join(results, file));
    t.is(exitCode, 0, stderr);
    t.is(Number(stdout), globSync('*/manifest.json', { cwd: set }).length);
    const written: unknown = JSON.parse(readFileSync(path.join(results, file), 'utf8'));
    t.deepEqual(written, JSON.parse(JSON.stringify(dataPackage(path.dirname(file)))));
  });

test('there are such sets, and a wrong cell is found', async (t) => {
  t.true(packages.length > 0);
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-package-'));
  t.teardown(() => rm(folder, { recursive: true }));
  for (const name of [dataPackageFile, 'runs.csv'])
    await cp(path.join(results, path.dirname(packages[0] ?? ''), name), path.join(folder, name));
  const table = path.join(folder, 'runs.csv');
  await writeFile(table, (await readFile(table, 'utf8')).replace(/,(true|false),/, ',perhaps,'));
  const { exitCode, stderr } = await check(path.join(folder, dataPackageFile));
  t.is(exitCode, 1);
  t.regex(stderr, /perhaps|cast/i);
});
