import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { runCampaign, type SoakForm } from './campaign.ts';
import type { DatabaseHistory, History } from './history.ts';
import type { SoakRow } from './table.ts';

const engine = { end: 0, events: [{ event: 'done', atMs: 1000 }], errors: '' };
const database: DatabaseHistory = {
  startedAnew: false,
  answered: true,
  acknowledged: 9,
  lost: 0,
  tables: [{ table: 'poolshift.ledger', ok: true, message: 'OK' }],
};
const sound: History = {
  fault: { kind: 'none' },
  faultAtMs: undefined,
  source: engine,
  destination: engine,
  sourceVm: { runs: [[0, 1000]], status: 'postmigrate', migration: 'completed' },
  targetVm: { runs: [[1100, Infinity]], status: 'running', migration: 'completed' },
  targetHasVm: true,
  continuedAtSource: false,
  leftovers: [],
  database,
};

async function run(
  t: ExecutionContext,
  runOf: SoakForm['run'],
  seeds: readonly number[],
  signal?: AbortSignal,
) {
  const out = mkdtempSync(path.join(os.tmpdir(), 'poolshift-campaign-'));
  t.teardown(() => {
    rmSync(out, { recursive: true });
  });
  const rows: SoakRow[] = [];
  await runCampaign(
    { vm: 'db', parallel: 1, run: runOf },
    {
      seeds,
      untilMs: Infinity,
      out,
      signal: signal ?? new AbortController().signal,
      onRow: (row) => rows.push(row),
    },
  );
  return { rows, out };
}

const result = (history: History) => ({
  fault: 'none',
  moment: '',
  settings: {},
  plan: { seed: 1 },
  history,
});

test('a run that was violated keeps its plan, its history and the logs of its hosts; another one keeps nothing', async (t) => {
  const lost = { ...sound, database: { ...database, lost: 2, firstLost: 4 } };
  const { rows, out } = await run(
    t,
    async (seed) => ({
      ...result(seed === 1 ? sound : lost),
      logs: () => Promise.resolve({ 'console-src': 'the end' }),
    }),
    [1, 2],
  );
  t.deepEqual(
    rows.map(({ seed, end, database }) => [seed, end, database?.lost]),
    [
      [1, 'at target', 0],
      [2, 'violated', 2],
    ],
  );
  t.deepEqual(readdirSync(out), ['seed-2']);
  const folder = path.join(out, 'seed-2');
  t.deepEqual(readdirSync(folder).sort(), ['console-src.log', 'history.json', 'plan.json', 'row.json']);
  t.is(readFileSync(path.join(folder, 'console-src.log'), 'utf8'), 'the end\n');
  const kept = JSON.parse(readFileSync(path.join(folder, 'history.json'), 'utf8')) as History;
  t.is(kept.database?.firstLost, 4);
});

test('hosts that do not answer cost their logs, and no other evidence', async (t) => {
  const left = { ...sound, leftovers: ['process x'] };
  const { out } = await run(
    t,
    async () => ({ ...result(left), logs: () => Promise.reject(new Error('unreachable')) }),
    [7],
  );
  t.deepEqual(readdirSync(path.join(out, 'seed-7')).sort(), ['history.json', 'plan.json', 'row.json']);
});

test('a run that could not be made is told, and the next one is made', async (t) => {
  const { rows } = await run(
    t,
    (seed) => (seed === 1 ? Promise.reject(new Error('no lab')) : Promise.resolve(result(sound))),
    [1, 2],
  );
  t.deepEqual(
    rows.map(({ failure, end }) => [failure, end]),
    [
      ['no lab', 'violated'],
      [undefined, 'at target'],
    ],
  );
});

test('an interrupted run has no row, and no other one begins', async (t) => {
  const interrupt = new AbortController();
  const { rows } = await run(
    t,
    (seed) => {
      if (seed === 1) return Promise.resolve(result(sound));
      interrupt.abort();
      return Promise.reject(new Error('interrupted'));
    },
    [1, 2, 3],
    interrupt.signal,
  );
  t.deepEqual(
    rows.map(({ seed }) => seed),
    [1],
  );
});
