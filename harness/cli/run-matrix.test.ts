import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { once } from 'node:events';
import test, { type ExecutionContext } from 'ava';
import { configurationOf, matrixOptionsSchema, matrixRuns, runName } from '../../experiments/matrix.ts';
import { writeManifest } from '../../record/manifest.ts';
import { command, manifest } from '../../record/record.fixture.ts';
import { RunLog } from '../../record/run-log.ts';
import { collectRevision } from '../run/versions.ts';
import { runMatrix } from './run-matrix.ts';

// Machines are somebody's who is root, also where all runs are done.
const asRoot = process.getuid?.() === 0 ? test : test.skip;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' ? (address?.port ?? 0) : 0;
}

/** A set whose only run is done: a matrix that goes on with it starts no machine. */
async function doneSet(t: ExecutionContext, live?: number) {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-matrix-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const set = path.join(folder, 'set');
  const options = matrixOptionsSchema.parse({
    ...{ scenarios: ['rw'], mems: ['4'], engines: ['precopy'], resume: true },
    ...{ testbed: 'inventory', inventory: 'hosts.yaml', live },
  });
  const cells = matrixRuns(options);
  const revision = await collectRevision(path.join(import.meta.dirname, '../..'));
  for (const cell of cells) {
    const run = path.join(set, runName(cell));
    const log = await RunLog.create(run);
    await writeManifest(run, { ...manifest, revision, configuration: configurationOf(options, cell) });
    log.event(command(1000));
    log.event({ event: 'run-ended', at_ms: 2000, outcome: 'completed' });
    await log.close();
  }
  return { set, plan: { options, cells, inventory: undefined } };
}

asRoot('matrices of one recipe go into one set, one after the other', async (t) => {
  const { set, plan } = await doneSet(t, await freePort());
  const said: string[] = [];
  const use = { set, isNew: true, owner: 'test', say: (line: string) => said.push(line) };
  for (const _matrix of [1, 2]) {
    const { lines, failed } = await runMatrix(plan, use, (ending) => {
      t.teardown(ending);
    });
    t.false(failed);
    t.deepEqual(
      lines.map(({ name, outcome }) => ({ name, outcome })),
      [{ name: 'rw-4-precopy-r1', outcome: 'completed' }],
    );
  }
  t.is(said.filter((line) => line.startsWith('live view: ')).length, 2);
  t.false(
    said.some((line) => line.includes('has ended')),
    said.join('\n'),
  );
});
