import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { CodedError } from '../foundation/coded-error.ts';
import { hashFiles, prepare } from './cache.ts';

const silent = (): void => undefined;
let root = '';

test.beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'poolshift-cache-'));
  process.env['POOLSHIFT_CACHE'] = root;
});
test.afterEach.always(() => rm(root, { recursive: true, force: true }));

/** A program that prepares "thing" slowly and says what it did. */
const program = (body: string): string => `
  import { prepare } from ${JSON.stringify(path.join(import.meta.dirname, 'cache.ts'))};
  import { writeFile } from 'node:fs/promises';
  const dir = await prepare({ name: 'thing', keyParts: [1], log: () => {}, build: async (dir) => { ${body} } });
  console.log(dir);
`;
const slow = `process.stderr.write('building\\n'); await writeFile(dir + '/a', ''); await new Promise((r) => setTimeout(r, 500));`;

test.serial('builds once and again only for another key', async (t) => {
  let builds = 0;
  const make = (part: number): Promise<string> =>
    prepare({
      name: 'thing',
      keyParts: ['x', part],
      log: silent,
      build: async (dir) => {
        builds++;
        await writeFile(path.join(dir, 'content'), `${part}`);
      },
    });
  const first = await make(1);
  t.is(await make(1), first);
  t.is(builds, 1);
  t.not(await make(2), first);
  t.is(await readFile(path.join(first, 'content'), 'utf8'), '1');
});

test.serial('a build that throws leaves nothing', async (t) => {
  const error = await t.throwsAsync(
    prepare({ name: 'thing', keyParts: [], log: silent, build: () => Promise.reject(new Error('no disk')) }),
    { instanceOf: CodedError, name: 'SetUpError', message: 'thing: no disk' },
  );
  t.is(error.code, 'build-failed');
  t.deepEqual(
    (await readdir(root)).filter((name) => !name.endsWith('.lock')),
    [],
  );
});

test.serial('two processes build it once', async (t) => {
  const run = () =>
    promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program(slow)], {
      env: process.env,
    });
  const [a, b] = await Promise.all([run(), run()]);
  t.is(a.stdout, b.stdout);
  t.is([a.stderr, b.stderr].join('').match(/building/g)?.length, 1);
});

test.serial('the leftovers of a killed build are removed by the next', async (t) => {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program(slow)], {
    env: process.env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await once(child.stderr, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
  t.true((await readdir(root)).some((name) => name.includes('.partial-')));
  const dir = await prepare({ name: 'thing', keyParts: [1], log: silent, build: () => Promise.resolve() });
  await t.notThrowsAsync(access(dir));
  t.false((await readdir(root)).some((name) => name.includes('.partial-')));
});

test.serial('a hash of files depends on content and names', async (t) => {
  const file = path.join(root, 'f');
  await writeFile(file, 'one');
  const one = await hashFiles([root]);
  t.is(await hashFiles([root]), one);
  await writeFile(file, 'two');
  const two = await hashFiles([root]);
  t.not(two, one);
  await writeFile(path.join(root, 'g'), '');
  t.not(await hashFiles([root]), two);
});
