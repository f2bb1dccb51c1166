/**
 * Memory of several RAM blocks between two real QEMUs: NUMA nodes, and a DIMM that is plugged in while the VM runs; compared byte
 * by byte. About half a minute; needs root and QEMU 9 or newer.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { PageList } from '../list/page-list.ts';
import { findQemu } from '../../qemu/find-qemu.ts';
import {
  backendArgument,
  type CachedRun,
  listOf,
  type PairOptions,
  type VmPair,
  withVmPair,
} from './testing/vm-pair.ts';

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;
const pagesPerMiB = 256;
const ramBytes = 64 * MiB;
const program = { startBytes: 8 * MiB, endBytes: 9 * MiB, strideBytes: 4096, delayRounds: 200_000 };
/** QEMU does not run ahead of the plan: what it has sent before counts neither way. */
const slow = { 'max-bandwidth': 8e6 };
const installation = findQemu()?.installation;
const serially = installation === undefined ? test.serial.skip : test.serial;

/** `mebibytes` of the disk from `diskMiB` on, in memory from `ramMiB` on. */
const cached = (diskMiB: number, ramMiB: number, mebibytes: number): CachedRun[] => {
  const groups = (mebibytes * pagesPerMiB) / 4;
  return Array.from({ length: groups }, (_, group) => ({
    block: diskMiB * pagesPerMiB + group * 4,
    page: ramMiB * pagesPerMiB + ((group * 331) % groups) * 4,
    count: 4,
  }));
};

function withPair(
  t: ExecutionContext,
  options: Partial<PairOptions>,
  body: (pair: VmPair) => Promise<void>,
): Promise<void> {
  t.timeout(15 * 60_000);
  const capabilities = ['return-path', 'switchover-ack'] as const;
  const usual = { ramBytes, diskBytes: 32 * MiB, program, capabilities, parameters: slow };
  return withVmPair(installation, { ...usual, ...options }, body);
}

const say = (pair: VmPair, command: string): Promise<string> =>
  pair.source.execute('human-monitor-command', { 'command-line': command });

async function migrate(
  pair: VmPair,
  list: PageList,
  args: readonly string[],
  meanwhile?: () => Promise<void>,
) {
  const engines = await pair.startEngines(list, {
    ram: `pid:${pair.source.pid ?? 0}`,
    source: ['--list-at', 'start', ...args],
  });
  // What QEMU sends before both have answered cannot be left out.
  await engines.source.event('storage');
  await pair.migrate();
  await meanwhile?.();
  await pair.completed();
  const { events } = engines.source;
  const done = events.find(({ event }) => event === 'done');
  if (done?.event !== 'done') throw new Error('the engine is not done');
  return { ...done, events, differing: pair.differingPages() };
}

/** Nodes of 64 and 32 MiB; the DIMM of 64 MiB has the size of the first node. */
const nodes: Partial<PairOptions> = {
  blocks: [
    { id: 'n1', bytes: 32 * MiB, startBytes: ramBytes },
    { id: 'dimm0', bytes: 64 * MiB, startBytes: 4 * GiB, pluggedIn: true },
  ],
  memory: [
    ...['-m', '96M,slots=2,maxmem=1G', '-smp', '2'],
    ...['-numa', 'node,nodeid=0,memdev=ram0', '-numa', 'node,nodeid=1,memdev=n1'],
  ],
  arguments: { target: ['-device', 'pc-dimm,id=d0,memdev=dimm0'] },
};

serially(
  'two NUMA nodes and a DIMM: QEMU’s word tells which frame is where, and pages of all come from storage',
  async (t) => {
    await withPair(t, nodes, async (pair) => {
      await say(pair, `object_add ${backendArgument(pair.folder, 'source', 64 * MiB, 'dimm0')}`);
      t.is(await say(pair, 'device_add pc-dimm,id=d0,memdev=dimm0'), '');
      const runs = [...cached(1, 32, 8), ...cached(9, 70, 8), ...cached(17, 4096 + 16, 8)];
      pair.cache(runs);
      const map = path.join(pair.folder, 'map');
      writeFileSync(map, (await say(pair, 'info mtree -f')) + (await say(pair, 'info ramblock')));
      const result = await migrate(pair, listOf(runs, 96 * MiB), ['--memory-map', map]);
      t.deepEqual(result.differing, []);
      t.is(result.pages_restored, result.pages_planned);
      // More than two of the three blocks have: the first pages of each are QEMU's, until its memory was compared with QEMU's records.
      t.true(result.pages_restored > (2 / 3) * runs.length * 4, `${result.pages_restored} pages restored`);
    });
  },
);

serially(
  'without it, memory of several nodes is left to QEMU, and the reason says what to give',
  async (t) => {
    const { blocks = [], ...others } = nodes;
    await withPair(t, { ...others, blocks: blocks.slice(0, 1), arguments: {} }, async (pair) => {
      const runs = cached(1, 70, 8);
      pair.cache(runs);
      const result = await migrate(pair, listOf(runs, 96 * MiB), []);
      t.deepEqual(result.differing, []);
      const noList = result.events.find(({ event }) => event === 'no-list');
      t.like(noList, { event: 'no-list', code: 'memory-map' });
      t.regex(JSON.stringify(noList), /ram0.*n1.*--memory-map/);
    });
  },
);

serially(
  'a DIMM beside memory of one block is known by its size, and QEMU takes none during the migration',
  async (t) => {
    const options: Partial<PairOptions> = {
      blocks: [{ id: 'dimm0', bytes: 32 * MiB, startBytes: 4 * GiB, pluggedIn: true }],
      memory: ['-machine', 'memory-backend=ram0', '-m', '64M,slots=2,maxmem=1G'],
      arguments: { target: ['-device', 'pc-dimm,id=d0,memdev=dimm0'] },
    };
    await withPair(t, options, async (pair) => {
      await say(pair, `object_add ${backendArgument(pair.folder, 'source', 32 * MiB, 'dimm0')}`);
      t.is(await say(pair, 'device_add pc-dimm,id=d0,memdev=dimm0'), '');
      const runs = [...cached(1, 32, 8), ...cached(17, 4096 + 16, 8)];
      pair.cache(runs);
      const at4GiB = 4096 * pagesPerMiB;
      const guestRam = [[1, ramBytes / 4096 - 1] as const, [at4GiB, at4GiB + 32 * pagesPerMiB - 1] as const];
      const result = await migrate(pair, { ...listOf(runs, ramBytes), guestRam }, [], async () => {
        // While a migration sets up, QEMU under TCG waits for its vCPUs with the list of RAM blocks locked (migration/ram.c,
        // ram_init_bitmaps; system/physmem.c, tcg_log_global_after_sync): a block that is added then waits for that with QEMU's own
        // lock, and QEMU never answers again.
        await pair.source.waitForMigration(({ status }) => status === 'active', 60_000);
        await say(pair, 'object_add memory-backend-ram,id=late,size=16M');
        t.regex(await say(pair, 'device_add pc-dimm,id=d1,memdev=late'), /while migrating/);
      });
      t.deepEqual(result.differing, []);
      t.is(result.pages_restored, result.pages_planned);
      t.true(result.pages_restored > (1 / 2) * runs.length * 4, `${result.pages_restored} pages restored`);
    });
  },
);
