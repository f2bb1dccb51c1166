import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { execa } from 'execa';
import { writeRunsCsv } from '../../record/csv.ts';
import { writeManifest } from '../../record/manifest.ts';
import { addPlannedCells } from '../../record/sets/planned-cells.ts';
import { manifest } from '../../record/record.fixture.ts';

/** A command with a live view, in a process of its own: the view ends when that does. Shows the runs, and says the address. */
const command = `
const { startLiveView } = await import(process.argv[1]);
const [set, ...runs] = process.argv.slice(2);
const view = await startLiveView(true, { name: 'shown', ...(set === '' ? {} : { set }) }, console.log);
for (const run of runs) view.show(run);
process.stdin.on('end', () => process.exit()).resume();
`;

interface News {
  readonly running: { readonly name: string } | null;
  readonly set: { readonly runs: string };
}

/** What the page is told once `isReached`. */
async function newsOf(
  t: ExecutionContext,
  [set, ...runs]: readonly [set: string, ...runs: string[]],
  isReached: (news: News) => boolean,
): Promise<News> {
  const program = path.join(import.meta.dirname, 'live-view.ts');
  const started = execa(process.execPath, ['--input-type=module', '-e', command, program, set, ...runs], {
    stdin: 'pipe',
  });
  let news: News | undefined;
  for await (const line of started) {
    const address = /^live view: (http:.*)$/.exec(line)?.[1];
    if (address === undefined) continue;
    for (let attempt = 0; attempt < 600; attempt += 1) {
      news = (await (await fetch(`${address}live.json`)).json()) as News;
      if (isReached(news)) break;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    started.stdin.end();
  }
  t.is((await started).exitCode, 0);
  if (news === undefined) throw new Error('no address');
  return news;
}

async function writeRun(folder: string, outcome?: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const runId = path.basename(folder);
  await writeManifest(folder, { ...manifest, runId });
  await writeFile(path.join(folder, 'events.jsonl'), '');
  const { scenario, paperRowGib, engine, scale, linkBitsPerSecond } = manifest.configuration;
  const row = { scenario, engine, mem_gib: paperRowGib, scale, repeat: 1, outcome };
  if (outcome !== undefined)
    await writeRunsCsv(path.join(folder, 'runs.csv'), [
      { run_id: runId, link_bits_per_second: linkBitsPerSecond, ...row },
    ]);
}

async function temporaryFolder(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-live-'));
  t.teardown(() => rm(folder, { recursive: true }));
  return folder;
}

test('a matrix gives its folder: the runs that are done there are shown', async (t) => {
  const set = await temporaryFolder(t);
  const cell = { scenario: 'rw', mem: '16', engine: 'precopy', repeat: 1 } as const;
  await addPlannedCells(set, [cell, { ...cell, repeat: 2 }, { ...cell, repeat: 3 }]);
  await writeRun(path.join(set, 'rw-16-precopy-r1'), 'completed');
  const goesOn = path.join(set, 'rw-16-precopy-r2');
  await writeRun(goesOn);
  const { running, set: shown } = await newsOf(t, [set, goesOn], (news) => news.running !== null);
  t.is(running?.name, 'rw-16-precopy-r2');
  t.regex(shown.runs, /rw-16-precopy-r1/);
  t.notRegex(shown.runs, /rw-16-precopy-r[23]/);
});

test('an experiment gives none: of the folder, only the runs that it made are shown', async (t) => {
  const out = await temporaryFolder(t);
  const [older, first, second] = ['older', 'first', 'second'].map((name) => path.join(out, name)) as [
    string,
    string,
    string,
  ];
  await writeRun(older, 'completed');
  await writeRun(first, 'completed');
  await writeRun(second);
  const { running, set } = await newsOf(t, ['', first, second], (news) => news.running?.name === 'second');
  t.is(running?.name, 'second');
  t.regex(set.runs, /first/);
  t.notRegex(set.runs, /older|second/);
});
