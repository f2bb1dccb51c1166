/** What `npm pack` puts into a release: the checkout, without recorded sets. */
import { globSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import test from 'ava';
import { $ } from 'zx';

test('a release has every file of the checkout but recorded sets', async (t) => {
  const packed = await $({ quiet: true })`npm pack --dry-run --json --loglevel=error`;
  const [release] = JSON.parse(packed.stdout) as readonly {
    readonly filename: string;
    readonly files: readonly { readonly path: string }[];
  }[];
  if (release === undefined) throw new Error('npm pack says nothing');
  const paths = new Set(release.files.map(({ path }) => path));
  const expected = globSync('**/*.{ts,mjs,cjs,js,json,sh,lua,md,service,svg}', {
    exclude: (name) => ['node_modules', 'results', 'packages'].includes(name),
  });
  t.true(expected.includes('npm-shrinkwrap.json'));
  t.deepEqual(
    expected.filter((file) => !paths.has(file)),
    [],
  );
  t.deepEqual(
    [...paths].filter((file) => file.startsWith('results/reference-')),
    [],
  );
});

test('one version in package.json, the lock file, the changelog and the release', async (t) => {
  const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { readonly version: string };
  const lock = JSON.parse(await readFile('npm-shrinkwrap.json', 'utf8')) as {
    readonly version: string;
    readonly packages: Readonly<Record<string, { readonly version?: string }>>;
  };
  t.is(lock.version, version);
  t.is(lock.packages['']?.version, version);
  t.true((await readFile('CHANGELOG.md', 'utf8')).includes(`\n## ${version}\n`));
});
