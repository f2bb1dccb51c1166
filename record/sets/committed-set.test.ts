import { globSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { execa } from 'execa';
import { readRowText, readSamples } from '../read-run.ts';
import { writeSamplesFile } from '../samples-file.ts';
import { writeCommittedSet } from './committed-set.ts';
import { readRecordedSet } from './recorded-sets.ts';

const recorded = path.resolve(import.meta.dirname, '../../results/reference-2026-11-28-smoke');

async function copyOf(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-commit-'));
  t.teardown(() => rm(folder, { recursive: true }));
  await cp(recorded, path.join(folder, 'set'), { recursive: true });
  return path.join(folder, 'set');
}
const filesIn = (set: string): string[] => globSync('**/*.{json,csv,gz,parquet,log}', { cwd: set }).sort();
const isSetAside = (file: string): boolean => file.startsWith('rw-4-precopy-r1.failed-1/');

test('logs, derived files and samples that nothing is made from are left out, and an attempt keeps its row', async (t) => {
  const set = await copyOf(t);
  const run = path.join(set, 'rw-4-precopy-r1');
  const samples = (await readSamples(run)) ?? [];
  const more = samples.map((sample) => ({ ...sample, metric: 'mem_available_bytes' }));
  await writeSamplesFile(path.join(run, 'samples.parquet'), [...samples, ...more]);
  await writeFile(path.join(run, 'console.log'), 'booted\n');
  await cp(run, `${run}.failed-1`, { recursive: true });

  const out = path.join(path.dirname(set), 'out');
  await writeCommittedSet(set, out);
  t.deepEqual(
    filesIn(out).filter((file) => !isSetAside(file)),
    filesIn(recorded),
  );
  t.true(
    filesIn(out)
      .filter(isSetAside)
      .some((file) => file.endsWith('runs.csv')),
  );
  t.deepEqual(await readSamples(path.join(out, 'rw-4-precopy-r1')), samples);
  t.is(
    await readFile(path.join(out, 'runs.csv'), 'utf8'),
    await readFile(path.join(recorded, 'runs.csv'), 'utf8'),
  );

  await writeCommittedSet(out, out);
  t.deepEqual(await readSamples(path.join(out, 'rw-4-precopy-r1')), samples);
});

test('a set with a run that goes on is refused, and nothing is left of it', async (t) => {
  const set = await copyOf(t);
  await rm(path.join(set, 'rw-4-restore-r1', 'samples.parquet'));
  await t.throwsAsync(writeCommittedSet(set, `${set}-out`), {
    code: 'not-readable',
    message: /rw-4-restore-r1 goes on, or is to be derived first$/,
  });
  t.deepEqual(await readdir(path.dirname(set)), ['set']);
});

test('the row of a run is its own, else that of the set, unless that is of another run of its name', async (t) => {
  const set = await copyOf(t);
  const run = path.join(set, 'rw-4-precopy-r1');
  const [head = '', row = ''] = ((await readRowText(run)) ?? '').split('\n');
  t.true((await readFile(path.join(set, 'runs.csv'), 'utf8')).includes(row));
  await writeFile(path.join(run, 'runs.csv'), `${head}\n`);
  t.is(await readRowText(run), `${head}\n`);
  await rm(path.join(run, 'runs.csv'));
  await rename(run, path.join(set, 'another'));
  t.is(await readRowText(path.join(set, 'another')), undefined);
  const other = path.join(set, 'rw-4-restore-r1', 'manifest.json');
  const manifest = await readFile(other, 'utf8');
  await writeFile(other, manifest.replace(/"startedAt": "\d{4}/, '"startedAt": "2001'));
  t.is(await readRowText(path.dirname(other)), undefined);
});

(process.getuid?.() === 0 ? test : test.skip)(
  'a set that cannot be removed for the one that takes its place is not lost',
  async (t) => {
    const set = await copyOf(t);
    await mkdir(path.join(set, 'report'));
    const program =
      'const { writeCommittedSet } = await import(process.argv[1]); await writeCommittedSet(process.argv[2], process.argv[2]);';
    // Something is mounted in it, which cannot be removed.
    await execa(
      'unshare',
      [
        ...['--mount', 'sh', '-c', 'mount -t tmpfs none "$0/report" && exec "$@"', set],
        ...[process.execPath, '--input-type=module', '-e', program],
        ...[path.join(import.meta.dirname, 'committed-set.ts'), set],
      ],
      { reject: false },
    );
    t.deepEqual(
      (await readRecordedSet(set)).map(({ row }) => row?.run_id),
      ['rw-4-precopy-r1', 'rw-4-restore-r1'],
    );
  },
);
