/**
 * What the VM's disk is on the hosts, between two real QEMUs that hold its locks; memory is compared byte by byte. About half a
 * minute; needs root and QEMU 9 or newer.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { execa } from 'execa';
import type { PageList } from '../list/page-list.ts';
import { findQemu } from '../../qemu/find-qemu.ts';
import { qemuTools, type QemuTools } from './testing/qemu-tools.ts';
import { type CachedRun, type EngineProcess, listOf, type PairOptions, VmPair } from './testing/vm-pair.ts';

const MiB = 1024 * 1024;
const pagesPerMiB = 256;
const ramBytes = 64 * MiB;
const diskBytes = 32 * MiB;
const cachedGroups = (24 * pagesPerMiB) / 4;
const cachedRuns: CachedRun[] = Array.from({ length: cachedGroups }, (_, group) => ({
  block: pagesPerMiB + group * 4,
  page: 16 * pagesPerMiB + ((group * 1031) % cachedGroups) * 4,
  count: 4,
}));
const program = { startBytes: 8 * MiB, endBytes: 9 * MiB, strideBytes: 4096, delayRounds: 200_000 };

const installation = findQemu()?.installation;
const serially = installation === undefined ? test.serial.skip : test.serial;
const { exitCode: loopDevices } = await execa('losetup', ['--find'], { reject: false });

interface Case {
  readonly pair: VmPair;
  readonly tools: QemuTools;
}

async function withImage(
  t: ExecutionContext,
  image: (tools: QemuTools, disk: string) => ReturnType<NonNullable<PairOptions['image']>>,
  body: (parts: Case) => Promise<void>,
): Promise<void> {
  if (installation === undefined) throw new Error('no QEMU');
  t.timeout(15 * 60_000);
  let tools: QemuTools | undefined;
  const pair = await VmPair.start(installation, {
    ...{ ramBytes, diskBytes, program, capabilities: ['return-path', 'switchover-ack'] },
    image: (disk) => {
      tools = qemuTools(installation, path.dirname(disk));
      return image(tools, disk);
    },
  });
  try {
    if (tools === undefined) throw new Error('no image was made');
    await body({ pair, tools });
  } finally {
    await pair.stop();
  }
}

/** Both engines, with the list at once, so that storage is open before QEMU sends. */
async function startEngines(
  { pair, tools }: Case,
  storage: string,
  list: PageList,
): Promise<readonly EngineProcess[]> {
  const { source, destination } = await pair.startEngines(list, {
    storage,
    source: ['--list-at', 'start'],
    environment: { PATH: tools.path },
  });
  return [source, destination];
}

/** Migrates; returns the events and what became of the pages. */
async function migrate({ pair }: Case, engines: readonly EngineProcess[]) {
  await pair.migrate();
  await pair.completed();
  const done = engines[0]?.events.find(({ event }) => event === 'done');
  if (done?.event !== 'done') throw new Error('the engine is not done');
  return { differing: pair.differingPages(), ...done };
}

/** What QEMU had sent before the list was there counts neither way: on a busy machine that is a good part. */
const some = cachedGroups;

/** Processes of this pair's engines that read storage. */
function daemonsOf(pair: VmPair): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return (
        readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('qemu-storage-daemon') &&
        readFileSync(`/proc/${pid}/environ`, 'utf8').includes(pair.folder)
      );
    } catch {
      return false;
    }
  });
}

/** An overlay over an image of version 2 with a snapshot; half of what is cached lies in each. */
function chain(tools: QemuTools, disk: string): { file: string; format: string } {
  const folder = path.dirname(disk);
  const base = path.join(folder, 'base.qcow2');
  const file = path.join(folder, 'disk.qcow2');
  tools.img('convert', '-O', 'qcow2', '-o', 'compat=0.10', disk, base);
  tools.img('snapshot', '-c', 'before', base);
  tools.img('create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', 'base.qcow2', file);
  return { file, format: 'qcow2' };
}

serially(
  'pages come from a qcow2 image with a backing chain, and from clusters that came after it was opened',
  async (t) => {
    await withImage(t, chain, async (parts) => {
      const { pair } = parts;
      // What the guest writes now lies in the overlay, in clusters that the storage daemon has not seen there.
      const fresh = cachedRuns.slice(cachedRuns.length / 2);
      pair.cache(cachedRuns);
      const list = listOf(cachedRuns, ramBytes);
      const engines = await startEngines(parts, path.join(pair.folder, 'disk.qcow2'), list);
      await engines[1]?.event('storage');
      const firstBlock = Math.min(...fresh.map(({ block }) => block));
      const lastBlock = Math.max(...fresh.map(({ block, count }) => block + count));
      const written = randomBytes((lastBlock - firstBlock) * 4096);
      const part = path.join(pair.folder, 'part');
      writeFileSync(part, written);
      const disk = openSync(pair.diskPath, 'r+');
      writeSync(disk, written, 0, written.length, firstBlock * 4096);
      closeSync(disk);
      pair.cache(fresh);
      // As a guest's fsync does, the flush writes where the new clusters lie. Quiet: its standard output is the monitor's.
      for (const command of [`write -q -s ${part} ${firstBlock * 4096} ${written.length}`, 'flush'])
        await pair.source.execute('human-monitor-command', { 'command-line': `qemu-io disk0 "${command}"` });
      const result = await migrate(parts, engines);
      t.deepEqual(result.differing, []);
      t.is(result.pages_restored, result.pages_planned);
      t.true(result.pages_restored > some, `${result.pages_restored} pages restored`);
      t.deepEqual(daemonsOf(pair), []);
    });
  },
);

serially(
  'two disks in the list and a place without a name: neither is taken, and both are named',
  async (t) => {
    await withImage(t, chain, async (parts) => {
      const { pair } = parts;
      pair.cache(cachedRuns);
      const list = listOf(cachedRuns, ramBytes);
      const sourceIndex = list.runs.sourceIndex.map((_, run, all) => (run < all.length / 2 ? 0 : 1));
      const sources = ['vda', 'vdb'].map((disk) => ({ kind: 'disk', disk }) as const);
      const twoDisks = { ...list, sources, runs: { ...list.runs, sourceIndex } };
      const engines = await startEngines(parts, path.join(pair.folder, 'disk.qcow2'), twoDisks);
      const { reason } = (await engines[1]?.event('storage-unusable')) ?? { reason: '' };
      t.regex(reason, /"vda", "vdb".*--storage NAME=PLACE/);
      t.deepEqual(daemonsOf(pair), []);
      const result = await migrate(parts, engines);
      t.deepEqual(result.differing, []);
      t.is(result.pages_restored, 0);
      t.is(result.pages_mismatched, 0);
    });
  },
);

serially('a destination engine that is killed leaves no storage daemon', async (t) => {
  await withImage(t, chain, async (parts) => {
    const { pair } = parts;
    pair.cache(cachedRuns);
    const engines = await startEngines(
      parts,
      path.join(pair.folder, 'disk.qcow2'),
      listOf(cachedRuns, ramBytes),
    );
    await engines[1]?.event('storage');
    t.is(daemonsOf(pair).length, 1);
    engines[1]?.kill('SIGKILL');
    await engines[1]?.ended;
    while (daemonsOf(pair).length > 0) await sleep(50);
    t.is(await engines[0]?.ended, 1);
    t.like(await pair.source.execute('query-status'), { status: 'running' });
  });
});

(loopDevices === 0 ? serially : test.serial.skip)('pages come from a block device', async (t) => {
  let device = '';
  t.teardown(async () => {
    if (device !== '') await execa('losetup', ['--detach', device]);
  });
  const raw = (_: QemuTools, disk: string): { file: string; format: string } => ({
    file: disk,
    format: 'raw',
  });
  await withImage(t, raw, async (parts) => {
    const { pair } = parts;
    pair.cache(cachedRuns);
    device = (await execa('losetup', ['--find', '--show', '--read-only', pair.diskPath])).stdout;
    const engines = await startEngines(parts, device, listOf(cachedRuns, ramBytes));
    await engines[1]?.event('storage');
    const result = await migrate(parts, engines);
    t.deepEqual(result.differing, []);
    t.is(result.pages_restored, result.pages_planned);
    t.true(result.pages_restored > some, `${result.pages_restored} pages restored`);
  });
});
