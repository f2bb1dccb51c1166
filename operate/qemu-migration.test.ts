/** Two QEMUs without libvirt, played: servers that speak QMP on sockets of this machine. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { recoverQemu } from './qemu-migration.ts';
import { serveQmp } from './qmp-server.fixture.ts';

/** @param answers by command; others get an empty one */
async function playQemu(socketPath: string, answers: Readonly<Record<string, unknown>>) {
  const server = createServer((socket) => {
    serveQmp(socket, (execute) => answers[execute] ?? {});
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  return server;
}

test('a source that has its own settings again after a move that broke is still recovered from', async (t) => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-qemus-'));
  const [sourceQmp, targetQmp] = [path.join(folder, 'source'), path.join(folder, 'target')];
  const vm = `vm-${path.basename(folder)}`;
  const source = await playQemu(sourceQmp, {
    'query-name': { name: vm },
    'query-status': { status: 'finish-migrate', running: false },
    'query-migrate': { status: 'failed' },
    // As it was before "poolshift migrate" had switched it off.
    'query-migrate-capabilities': [{ capability: 'release-ram', state: true }],
  });
  const target = await playQemu(targetQmp, {
    'query-status': { status: 'running', running: true },
    'query-migrate': { status: 'postcopy-paused' },
  });
  t.teardown(async () => {
    source.close();
    target.close();
    await rm(folder, { recursive: true });
  });
  const reporter = {
    findings: () => undefined,
    note: () => undefined,
    progress: () => undefined,
    end: () => undefined,
  };
  const options = { sourceQmp, targetQmp, engine: 'poolshift-engine' };
  // It looks for what the source engine has left, which only a move has.
  await t.throwsAsync(
    recoverQemu(options, reporter, () => undefined),
    { code: 'file', message: /no recovery file of vm-/ },
  );
});
