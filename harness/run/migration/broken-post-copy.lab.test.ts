/** Post-copy between two real QEMUs whose connection is cut when the VM has moved: the run ends, and says why. Some seconds. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { CodedError } from '../../../foundation/coded-error.ts';
import { VmPair } from '../../../engine/cli/testing/vm-pair.ts';
import { findQemu } from '../../../qemu/find-qemu.ts';
import { QmpClient } from '../../../qemu/qmp/client.ts';
import { manifest } from '../../../record/record.fixture.ts';
import { Relay } from '../../soak/relay.ts';
import { commandMigration } from './migration.ts';

const MiB = 1024 * 1024;
const installation = findQemu()?.installation;
const serially = installation === undefined ? test.serial.skip : test.serial;

serially('post-copy that has lost its connection for good is no wait without end', async (t) => {
  t.timeout(120_000);
  if (installation === undefined) throw new Error('no QEMU');
  const folder = await mkdtemp(path.join(tmpdir(), 'poolshift-post-copy-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const monitor = (side: 'source' | 'target'): string => path.join(folder, `${side}.qmp`);
  const pair = await VmPair.start(installation, {
    ramBytes: 64 * MiB,
    diskBytes: 4 * MiB,
    program: { startBytes: 16 * MiB, endBytes: 48 * MiB, strideBytes: 4096, delayRounds: 2000 },
    capabilities: ['postcopy-ram'],
    // So slow that it has not ended when it is cut.
    parameters: { 'max-bandwidth': 4 * MiB, 'max-postcopy-bandwidth': MiB },
    arguments: {
      source: ['-qmp', `unix:${monitor('source')},server=on,wait=off`],
      target: ['-qmp', `unix:${monitor('target')},server=on,wait=off`],
    },
  });
  t.teardown(() => pair.stop());
  const relayPath = path.join(folder, 'relay');
  const relay = await Relay.start({ path: pair.incomingPath }, relayPath);
  t.teardown(() => {
    relay.close();
  });
  const [source, target] = [
    await QmpClient.connect(monitor('source')),
    await QmpClient.connect(monitor('target')),
  ];
  const migrating = commandMigration(
    {
      configuration: { ...manifest.configuration, verifyRam: false, maxTimeSeconds: 600 },
      source,
      target,
      log: { event: () => undefined },
      signal: new AbortController().signal,
    },
    `unix:${relayPath}`,
  );
  migrating.catch(() => undefined);
  await pair.source.waitForMigration(({ status }) => status === 'active');
  await sleep(1000);
  await source.execute('migrate-start-postcopy');
  await pair.source.waitForMigration(({ status }) => status === 'postcopy-active');
  relay.cut('reset');
  const error = await t.throwsAsync(migrating, {
    instanceOf: CodedError,
    name: 'RunError',
    code: 'migration-failed',
  });
  t.regex(error.message, /^post-copy has lost its connection: the VM is at the destination/);
});
