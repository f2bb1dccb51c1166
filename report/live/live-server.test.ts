import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { plannedCellsFile, plannedCellsText } from '../../experiments/planned-cells.ts';
import { cellsOf } from '../record/cells.ts';
import { svgOf } from '../render/draw.ts';
import { GrownRun } from '../testing/grow-run.ts';
import { syntheticSet } from '../testing/synthetic-set.ts';
import { writeSet } from '../testing/write-set.ts';
import { serveLive } from './live-server.ts';
import { LiveSet, type RunningView } from './live-set.ts';

let dir: string;
test.before(async () => {
  dir = await mkdtemp(path.join(os.tmpdir(), 'live-'));
});
test.after.always(async () => {
  await rm(dir, { recursive: true });
});

interface Row {
  readonly kind: string;
  readonly curve: string;
  readonly t: number;
  readonly value: number;
}

function linesOf(view: RunningView | undefined, figure: keyof RunningView['figures']): Row[] {
  const spec = view?.figures[figure] as { data: { values: Row[] } } | undefined;
  return (spec?.data.values ?? []).filter(({ kind }) => kind === 'line');
}

test('a run that grows: before the migration, while it goes on, and when it is done', async (t) => {
  const run = new GrownRun(path.join(dir, 'set', 'rw-16-precopy-r1'));
  const live = new LiveSet('set');
  t.is(await live.running(), undefined);
  live.add(run.folder);
  t.deepEqual((await live.running())?.figures, {});

  await run.begin();
  // What measures the links' rates is not of the run's figures.
  await run.event(-20_000, { event: 'step-started', step: 'calibrate the links' });
  await run.load(-10_000, -5000);
  await run.event(0, { event: 'step-started', step: 'load before the migration' });
  await run.load(0, 30_000);
  // A line of which only a part is written yet.
  const late = JSON.stringify({
    at_ms: Date.UTC(2026, 0, 2) + 31_000,
    host: 'client',
    metric: 'tps',
    value: 9,
  });
  await run.append('samples.jsonl', late.slice(0, 40));
  const early = await live.running();
  t.is(early?.step, 'load before the migration');
  t.is(linesOf(early, 'tps').length, 30);
  t.deepEqual([linesOf(early, 'tps')[0]?.t, linesOf(early, 'tps').at(-1)?.t], [-29, 0]);

  await run.append('samples.jsonl', `${late.slice(40)}\n`);
  await run.event(30_000, { event: 'step-ended', step: 'load before the migration', duration_ms: 30_000 });
  await run.event(30_000, { event: 'migrate-command', host: 'harness', uri: 'tcp:x' });
  await run.load(31_000, 60_000);
  const view = await live.running();
  t.is(view?.step, '');
  t.is(
    view?.figuresLine,
    '1115 MB remaining, migration 15.0 MB/s, storage 5.0 MB/s, 8.0 TPS, about 56 s left',
  );
  const sinceStart = Date.now() - Date.UTC(2026, 0, 2);
  for (const elapsed of [view?.elapsedMs.run, view?.elapsedMs.step])
    t.true(elapsed !== undefined && elapsed > sinceStart - 60_000 && elapsed <= sinceStart);
  t.is(linesOf(view, 'tps').length, 60);
  t.is(linesOf(view, 'tps').at(-1)?.t, 29);
  const rates = linesOf(view, 'throughput');
  t.true(rates.length > 40);
  t.deepEqual(new Set(rates.map(({ value }) => value)), new Set([120, 40]));
  t.true(linesOf(view, 'remaining').length > 40);
  t.true(linesOf(view, 'latency').length === 59);
  const figures = Object.entries(view?.figures ?? {});
  t.deepEqual(
    figures.map(([name]) => name),
    ['throughput', 'remaining', 'tps', 'latency', 'phases'],
  );
  for (const [name, spec] of figures) t.regex(await svgOf(name, spec), /<path/);

  t.is((await live.done()).set.runs.length, 0);
  await run.end();
  t.is(await live.running(), undefined);
  t.is((await live.done()).set.runs[0]?.row.total_time_ms, 20_000);
});

test('pages that ask at the same time are told the same, once', async (t) => {
  const run = new GrownRun(path.join(dir, 'two-pages', 'rw-16-precopy-r1'));
  const live = new LiveSet('two-pages');
  live.add(run.folder);
  await run.begin();
  await run.event(0, { event: 'step-started', step: 'load before the migration' });
  await run.load(0, 30_000);
  for (const view of await Promise.all([live.running(), live.running()]))
    t.is(linesOf(view, 'tps').length, 30);
  await run.load(30_000, 60_000);
  t.is(linesOf(await live.running(), 'tps').length, 60);
});

test('a matrix: runs of its folder, and of what was planned only what failed is missing', async (t) => {
  const folder = path.join(dir, 'matrix');
  const live = new LiveSet('matrix', folder);
  const cellsNow = async () =>
    cellsOf((await live.done()).set).map(({ engine, paperRowGib, runs }) => [
      engine,
      paperRowGib,
      runs.length,
    ]);
  // The view starts before the matrix writes anything.
  t.deepEqual(await cellsNow(), []);
  await mkdir(folder);
  const plan = (['precopy', 'restore', 'balance'] as const).flatMap((engine) =>
    (['4', '16'] as const).map((mem) => ({ scenario: 'rw', mem, engine, repeat: 1 }) as const),
  );
  await writeFile(path.join(folder, plannedCellsFile), plannedCellsText(plan));
  t.deepEqual(await cellsNow(), []);

  // Done by an earlier matrix, and not told of.
  const earlier = syntheticSet({ scenarios: ['rw'], paperRowsGib: [4], engines: ['precopy'] });
  await writeSet(folder, earlier);
  const run = new GrownRun(path.join(folder, 'rw-16-precopy-r1'));
  live.add(run.folder);
  await run.begin();
  await run.load(0, 10_000);
  t.is((await live.running())?.name, 'rw-16-precopy-r1');
  t.deepEqual(await cellsNow(), [['precopy', 4, 1]]);
  t.deepEqual(await live.progress(), { done: 1, planned: 6 });
  await run.end();
  t.deepEqual(await cellsNow(), [
    ['precopy', 4, 1],
    ['precopy', 16, 1],
  ]);

  // One that failed is missing until it is made again: no other engine of its row and no other row of its engine is.
  const restore = syntheticSet({ scenarios: ['rw'], paperRowsGib: [16], engines: ['restore'] });
  const failed = restore.runs.map((one) => ({ ...one, row: { ...one.row, outcome: 'failed' as const } }));
  await writeSet(folder, { runs: failed });
  t.deepEqual((await cellsNow()).at(-1), ['restore', 16, 0]);
  const { set, version } = await live.done();
  t.deepEqual(
    set.leftOut.map(({ name }) => name),
    failed.map(({ name }) => name),
  );
  t.like(set, { names: ['matrix'], recordedPlans: [folder] });
  t.is((await live.done()).set, set);
  await writeSet(folder, restore);
  const later = await live.done();
  t.not(later.version, version);
  t.is(later.set.runs.length, 3);
  t.deepEqual(later.set.leftOut, []);
});

test('two VMs that are moved at once are one run that is done', async (t) => {
  const folder = path.join(dir, 'two-vms');
  const plan = [1, 2].map((repeat) => ({ scenario: 'rw', mem: '4', engine: 'balance', repeat }) as const);
  await mkdir(folder);
  await writeFile(path.join(folder, plannedCellsFile), plannedCellsText(plan));
  const { runs } = syntheticSet({ scenarios: ['rw'], paperRowsGib: [4], engines: ['balance'] });
  const ofVms = runs.flatMap((run) => [
    { ...run, row: { ...run.row, vms: 2, vm: 0 } },
    {
      ...run,
      name: `${run.name}-vm1`,
      row: { ...run.row, vms: 2, vm: 1 },
      manifest: { ...run.manifest, vm: 1 as const },
    },
  ]);
  await writeSet(folder, { runs: ofVms });
  t.deepEqual(await new LiveSet('two-vms', folder).progress(), { done: 1, planned: 2 });
});

const get = (port: number, target: string, host: string, method = 'GET') =>
  new Promise<{ status: number | undefined; body: string }>((resolve, reject) => {
    // Over a connection of its own: one that is kept is closed after a few seconds, beneath the next request of a slow machine.
    const to = { agent: false, port, host: '127.0.0.1', path: target, method, headers: { host } };
    request(to, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.on('end', () => {
        resolve({ status: response.statusCode, body });
      });
    })
      .on('error', reject)
      .end();
  });

test('only this machine, by its own names, and only to look', async (t) => {
  const server = await serveLive(new LiveSet('set'), 0);
  const port = Number(new URL(server.url).port);
  t.is((await get(port, '/', `127.0.0.1:${port}`)).status, 200);
  t.is((await get(port, '/live.json', `localhost:${port}`)).status, 200);
  t.is((await get(port, '/', `evil.example:${port}`)).status, 403);
  t.is((await get(port, '/live.json', '127.0.0.1')).status, 403);
  t.is((await get(port, '/', `127.0.0.1:${port}`, 'POST')).status, 405);
  t.is((await get(port, '/../etc/passwd', `127.0.0.1:${port}`)).status, 404);
  const elsewhere = Object.values(os.networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4');
  if (elsewhere !== undefined) {
    const socket = net.connect(port, elsewhere.address);
    const reached = await new Promise((resolve) => {
      socket.once('connect', () => {
        resolve(true);
      });
      socket.once('error', () => {
        resolve(false);
      });
    });
    socket.destroy();
    t.false(reached);
  }
  await t.throwsAsync(serveLive(new LiveSet('set'), port), { code: 'EADDRINUSE' });
  await server.close();
});

test('the program ends with its input, and not by Ctrl-C', async (t) => {
  const program = execa(process.execPath, [path.join(import.meta.dirname, '../cli/live.ts'), 'set', '0'], {
    stdin: 'pipe',
  });
  for await (const line of program) {
    t.regex(line, /^http:\/\/127\.0\.0\.1:\d+\/$/);
    program.kill('SIGINT');
    t.is((await fetch(line)).status, 200);
    program.stdin.end();
  }
  t.is((await program).exitCode, 0);
});
