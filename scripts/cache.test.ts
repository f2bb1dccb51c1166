import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
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

/** Puts a process into a PID namespace of its own, where this user may make one. */
const apart = ['unshare', '--user', '--map-root-user', '--pid', '--fork', '--kill-child'];

test.serial('two processes build it once, also when neither sees the other', async (t) => {
  const run = (before: readonly string[]) => {
    const command = [...before, process.execPath, '--input-type=module', '--eval', program(slow)];
    return promisify(execFile)('env', command, { env: process.env });
  };
  const mayBeApart = spawnSync('env', [...apart, 'true']).status === 0;
  const [a, b] = await Promise.all([run([]), run(mayBeApart ? apart : [])]);
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

test.serial(
  'what nothing has used for long is removed when something is built, and what was used is kept',
  async (t) => {
    const dayMs = 86_400_000;
    /** An entry of this name, last used so many days ago. */
    const age = async (entry: string, days: number): Promise<string> => {
      const dir = path.join(root, entry);
      await mkdir(dir, { recursive: true });
      await writeFile(path.join(dir, 'content'), '');
      const then = new Date(Date.now() - days * dayMs);
      await utimes(dir, then, then);
      return entry;
    };
    const key = (index: number): string => index.toString(16).padStart(16, '0');
    const old = await age(`disk-${key(0)}`, 15);
    const current = await age(`disk-${key(1)}`, 13);
    const many = [];
    for (let index = 0; index < 8; index += 1) many.push(await age(`initrd-${key(index)}`, 2 + index));
    const busy = [];
    for (let index = 0; index < 8; index += 1) busy.push(await age(`engine-${key(index)}`, 0.5));
    const others = [await age('export', 100), await age(`.disk-${key(0)}.partial-a`, 100)];
    const used = path.basename(
      await prepare({ name: 'used', keyParts: [], log: silent, build: () => Promise.resolve() }),
    );
    const there = async (): Promise<string[]> =>
      (await readdir(root)).filter((name) => !name.endsWith('.lock')).sort();
    t.deepEqual(await there(), [current, ...many.slice(0, 6), ...busy, ...others, used].sort());

    await age(used, 20);
    await prepare({
      name: 'used',
      keyParts: [],
      log: silent,
      build: () => Promise.reject(new Error('again')),
    });
    const lines: string[] = [];
    await age(current, 15);
    const log = (line: string): void => void lines.push(line);
    await prepare({ name: 'new', keyParts: [], log, build: () => Promise.resolve() });
    t.true((await there()).includes(used));
    t.false((await there()).includes(current));
    t.true(lines.some((line) => line.includes(current) && line.includes('removed')));
    t.false((await there()).includes(old));
  },
);

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
