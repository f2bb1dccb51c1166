/**
 * What platforms switch on for every migration, between two real QEMUs, with a guest that writes all the time: pages come from
 * storage, and memory is the same. What cannot be carried ends at once, with the setting to change. Some minutes; needs QEMU 9 or
 * newer.
 */
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { findQemu } from '../../qemu/find-qemu.ts';
import type { MigrationCapability } from '../../qemu/qmp/messages.ts';
import { startNbdServer } from './testing/nbd-server.ts';
import {
  type CachedRun,
  type EngineProcess,
  listOf,
  type PairOptions,
  type VmPair,
  withVirtioMem,
  withVmPair,
} from './testing/vm-pair.ts';

const MiB = 1024 * 1024;
const pagesPerMiB = 256;
const ramBytes = 96 * MiB;
const cachedRuns: CachedRun[] = [{ block: pagesPerMiB, page: 16 * pagesPerMiB, count: 24 * pagesPerMiB }];
/** Of another part of memory, and of the last of the cached MiB. */
const busy = { startBytes: 39 * MiB, endBytes: 44 * MiB, strideBytes: 4096, delayRounds: 2000 };
/** Switched on by libvirt for every migration, like the return path and the ack that all platforms have here. */
const always = ['return-path', 'switchover-ack'] as const;

const installation = findQemu()?.installation;
const serially = installation === undefined ? test.serial.skip : test.serial;

async function withPair(
  t: ExecutionContext,
  options: Partial<PairOptions>,
  body: (pair: VmPair, storage: string) => Promise<void>,
): Promise<void> {
  t.timeout(15 * 60_000);
  const usual = { ramBytes, diskBytes: 32 * MiB, program: busy, capabilities: always };
  await withVmPair(installation, { ...usual, ...options }, async (pair) => {
    if (installation === undefined) return;
    pair.cache(cachedRuns);
    // So slow that QEMU is held for several of the five seconds after which auto-converge looks at the dirty log.
    const nbd = await startNbdServer(installation, pair.diskPath, path.join(pair.folder, 'nbd'), 2 * MiB);
    try {
      await body(pair, nbd.location);
    } finally {
      await nbd.stop();
    }
  });
}

/** Both engines have failed, for this reason, and the VM is at the source. */
async function leftAtSource(
  t: ExecutionContext,
  pair: VmPair,
  engines: Readonly<Record<'source' | 'destination', EngineProcess>>,
  reason: RegExp,
): Promise<void> {
  t.is(await engines.source.ended, 1);
  t.is(await engines.destination.ended, 1);
  for (const engine of [engines.source, engines.destination])
    t.regex(
      (await engine.event('failed')).reason,
      reason,
      JSON.stringify(engine.events.filter(({ event }) => event !== 'progress')),
    );
  await t.throwsAsync(pair.source.waitForMigration(() => false));
  t.like(await pair.source.execute('query-status'), { status: 'running' });
}

const platforms: Readonly<Record<string, readonly MigrationCapability[]>> = {
  'Proxmox VE': ['xbzrle', 'auto-converge', 'dirty-bitmaps'],
  'Nova, KubeVirt without multifd': ['auto-converge', 'postcopy-ram'],
  'libvirt, all that it can be told': ['xbzrle', 'auto-converge', 'postcopy-ram', 'postcopy-preempt'],
};

for (const [platform, capabilities] of Object.entries(platforms)) {
  serially(
    `${platform}: ${capabilities.join(', ')}: listed pages come from storage, memory is the same`,
    async (t) => {
      await withPair(t, { capabilities: [...always, ...capabilities] }, async (pair, storage) => {
        const { source } = await pair.startEngines(listOf(cachedRuns, ramBytes), {
          storage,
          source: ['--list-at', 'start'],
        });
        await pair.migrate();
        await pair.completed();
        t.deepEqual(pair.differingPages(), []);
        const done = await source.event('done');
        t.true(done.pages_restored > 20 * pagesPerMiB, `${done.pages_restored} pages restored`);
        t.false(source.events.some(({ event }) => event === 'stream-unfilterable' || event === 'warning'));
        t.log(JSON.stringify(await pair.source.execute('query-migrate')));
      });
    },
  );
}

serially('dirty bitmaps of a disk go along', async (t) => {
  await withPair(t, { capabilities: [...always, 'dirty-bitmaps'] }, async (pair, storage) => {
    await pair.source.execute('block-dirty-bitmap-add', { node: 'ide0-hd0', name: 'backup' });
    const { source } = await pair.startEngines(listOf(cachedRuns, ramBytes), { storage });
    await pair.migrate();
    await pair.completed();
    t.deepEqual(pair.differingPages(), []);
    t.true((await source.event('done')).pages_restored > 0);
    // It is there: another one of that name cannot be made.
    await t.throwsAsync(pair.target.execute('block-dirty-bitmap-add', { node: 'ide0-hd0', name: 'backup' }), {
      message: /already exists/,
    });
  });
});

serially('post-copy that is started comes when nothing is pending, and is passed through', async (t) => {
  await withPair(t, { capabilities: [...always, 'postcopy-ram'] }, async (pair, storage) => {
    const { source, destination } = await pair.startEngines(listOf(cachedRuns, ramBytes), { storage });
    await pair.migrate();
    await pair.source.waitForMigration(({ status }) => status === 'active');
    await pair.source.execute('migrate-start-postcopy');
    await pair.completed();
    t.deepEqual(pair.differingPages(), []);
    for (const engine of [source, destination]) t.is((await engine.event('warning')).code, 'post-copy');
    t.true((await source.event('done')).pages_restored > 0);
  });
});

serially(
  'post-copy with preemption, which needs a connection of its own, does not begin: the VM runs on',
  async (t) => {
    await withPair(
      t,
      { capabilities: [...always, 'postcopy-ram', 'postcopy-preempt'] },
      async (pair, storage) => {
        const engines = await pair.startEngines(listOf(cachedRuns, ramBytes), { storage });
        // Where what is left fits into the downtime, QEMU ends as pre-copy.
        await pair.source.execute('migrate-set-parameters', {
          'downtime-limit': 1,
          'avail-switchover-bandwidth': 4_096_000,
        });
        await pair.migrate();
        await pair.source.waitForMigration(({ status }) => status === 'active');
        await pair.source.execute('migrate-start-postcopy');
        await leftAtSource(t, pair, engines, /QEMU/);
      },
    );
  },
);

serially('multifd on both sides ends at once, with the setting to change', async (t) => {
  await withPair(t, { capabilities: [...always, 'multifd'] }, async (pair, storage) => {
    const engines = await pair.startEngines(listOf(cachedRuns, ramBytes), { storage });
    await pair.migrate().catch(() => undefined);
    await leftAtSource(
      t,
      pair,
      engines,
      /multifd.*(switch the capability multifd off|"capability": "multifd", "state": false)/,
    );
  });
});

serially('multifd on the source only, the same', async (t) => {
  await withPair(t, {}, async (pair, storage) => {
    await pair.source.setCapabilities(['multifd']);
    const engines = await pair.startEngines(listOf(cachedRuns, ramBytes), { storage });
    await pair.migrate().catch(() => undefined);
    await leftAtSource(
      t,
      pair,
      engines,
      /multifd.*(switch the capability multifd off|"capability": "multifd", "state": false)/,
    );
  });
});

for (const [how, common] of [
  ['filtered', []],
  ['passed through', withVirtioMem],
] as const) {
  serially(`a target that lacks a device leaves the VM at the source, on both sides: ${how}`, async (t) => {
    const sides = { source: [...common, '-device', 'virtio-rng-pci'], target: common };
    await withPair(t, { arguments: sides }, async (pair, storage) => {
      const engines = await pair.startEngines(listOf(cachedRuns, ramBytes), { storage });
      await pair.migrate();
      await leftAtSource(t, pair, engines, /target QEMU/);
      await sleep(200);
    });
  });
}
