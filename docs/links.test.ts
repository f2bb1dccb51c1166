/** Links of the documentation: each names a file that is there, and a heading of it. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';

const root = path.join(import.meta.dirname, '..');
const pages = globSync('{*.md,docs/*.md,results/README.md}', { cwd: root });

/** Without what stands in code, where nothing is a link. */
const textOf = (page: string): string =>
  readFileSync(path.join(root, page), 'utf8')
    .replaceAll(/^```[^]*?^```/gm, '')
    .replaceAll(/`[^`\n]*`/g, '`code`');

/** As GitHub makes them of headings. */
const anchorsOf = (page: string): string[] =>
  readFileSync(page, 'utf8')
    .replaceAll(/^```[^]*?^```/gm, '')
    .split('\n')
    .flatMap((line) => /^#+ (.*)$/.exec(line)?.[1] ?? [])
    .map((heading) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    );

test('there are pages to look at', (t) => {
  for (const page of ['README.md', path.join('docs', 'engine.md')]) t.true(pages.includes(page), page);
});

for (const page of pages) {
  test(`the links of ${page} lead somewhere`, (t) => {
    const targets = [...textOf(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
    const broken = targets.filter((target) => {
      if (/^[a-z]+:/.test(target)) return false;
      const [name = '', anchor] = target.split('#');
      const file = path.join(root, path.dirname(page), decodeURI(name));
      const linked = name === '' ? path.join(root, page) : file;
      if (!existsSync(linked)) return true;
      return anchor !== undefined && !anchorsOf(linked).includes(anchor);
    });
    t.deepEqual(broken, []);
  });
}

/** Made by commands, so that a checkout has none. */
const made = /^(results|vagrant\/hosts\.yaml)/;

test('pages name files and folders that are there', (t) => {
  const folders = globSync('*/', { cwd: root }).map((folder) => folder.replace('/', ''));
  const named = pages
    .filter((page) => page !== 'CHANGELOG.md')
    .flatMap((page) =>
      [...readFileSync(path.join(root, page), 'utf8').matchAll(/`([\w.*@-]+\/[\w./*@-]*)`/g)].map(
        ([, name = '']) => ({ page, name }),
      ),
    )
    .filter(({ name }) => folders.includes(name.split('/')[0] ?? '') && !made.test(name));
  t.true(named.length > 50);
  t.deepEqual(
    named.filter(({ name }) => globSync(name, { cwd: root }).length === 0),
    [],
  );
});

test('each picture is shown', (t) => {
  const shown = pages.flatMap((page) =>
    [...textOf(page).matchAll(/\]\(([^)\s]+\.png)\)/g)].map(([, picture = '']) =>
      path.join(path.dirname(page), picture),
    ),
  );
  t.true(shown.length > 0);
  const pictures = globSync('{docs,results/reference-*/report}/**/*.png', { cwd: root });
  t.deepEqual(
    pictures.filter((picture) => !shown.includes(picture)),
    [],
  );
});

test('code names pages that are there', (t) => {
  const files = globSync(
    '{bench,engine,examples,experiments,guest,harness,operate,qemu,record,report,reproduce,scripts,vagrant}/**/*.ts',
    {
      cwd: root,
    },
  );
  t.true(files.length > 100);
  const named = files.flatMap((file) =>
    [...readFileSync(path.join(root, file), 'utf8').matchAll(/\bdocs\/[a-z-]+\.md\b/g)].map(([page]) => ({
      file,
      page,
    })),
  );
  t.true(named.length > 0);
  t.deepEqual(
    named.filter(({ page }) => !existsSync(path.join(root, page))),
    [],
  );
});
