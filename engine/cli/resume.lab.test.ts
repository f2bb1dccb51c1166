/**
 * Early resume between two real QEMUs: the VM runs at the destination while listed pages are missing, and asks for them; memory
 * is compared byte by byte, and engines are killed. Needs root and QEMU 10 or newer; about a minute.
 */
import { closeSync, mkdtempSync, openSync, writeSync } from 'node:fs';
import { access } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { findQemu } from '../../qemu/find-qemu.ts';
import { postcopyAlways } from '../../qemu/qmp/early-resume.ts';
import { startNbdServer } from './testing/nbd-server.ts';
import { type CachedRun, EngineProcess, listOf, type PairOptions, VmPair } from './testing/vm-pair.ts';

const MiB = 1024 * 1024;
const ramBytes = 192 * MiB;
/** So little comes over the link before the VM moves, and nothing from storage, that pages are missing then, however slow this machine is. */
const linkBytesPerSecond = { before: MiB, after: 16 * MiB };
const cachedFromPage = (32 * MiB) / 4096;
const cachedGroups = (64 * MiB) / 4096 / 4;
const cachedRuns: CachedRun[] = Array.from({ length: cachedGroups }, (_, group) => ({
  block: 256 + group * 4,
  page: cachedFromPage + ((group * 1031) % cachedGroups) * 4,
  count: 4,
}));
const quiet = { startBytes: 160 * MiB, endBytes: 161 * MiB, strideBytes: 4096, delayRounds: 200_000 };
/** Writes a word of each listed page: those that are missing at the destination are waited for. */
const busy = { startBytes: 32 * MiB, endBytes: 48 * MiB, strideBytes: 4096, delayRounds: 1_000_000 };

const found = findQemu();
const installation = found?.installation;
/** QEMU 11.1 waits for an ack only so (docs/stream-format.md). */
const waitsForAck = (found?.majorVersion ?? 0) < 11 ? [] : ['-global', 'migration.switchover-ack-legacy=on'];
const serially = installation === undefined ? test.serial.skip : test.serial;

/** A link to `address`; of 0 bytes a second it carries nothing that way. Returns where it begins. */
async function slowLink(t: ExecutionContext, address: string, rate: () => number): Promise<string> {
  const [host = '', port = ''] = address.split(':');
  let isOver = false;
  t.teardown(() => {
    isOver = true;
  });
  const server = createServer((from) => {
    const to = connect(Number(port), host);
    void (async () => {
      for await (const chunk of from) {
        const bytes = (chunk as Buffer).length;
        while (rate() === 0) {
          if (isOver) return;
          await sleep(20);
        }
        to.write(chunk as Buffer);
        await sleep((bytes / Math.max(1, rate())) * 1000);
      }
      to.end();
    })().catch(() => to.destroy());
    to.pipe(from);
    from.on('close', () => {
      if (rate() === 0) to.destroy();
    });
    for (const socket of [from, to]) {
      socket.on('error', () => {
        from.destroy();
        to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const own = server.address();
  if (own === null || typeof own === 'string') throw new Error('it does not listen');
  return `127.0.0.1:${own.port}`;
}

interface Moving {
  readonly pair: VmPair;
  readonly source: EngineProcess;
  readonly destination: EngineProcess;
  /** Pages that the target had not when its VM was continued; undefined where nobody but the target can look. */
  readonly missing: number | undefined;
  /** Lets the rest come. */
  readonly goOn: () => void;
}

interface Conditions {
  readonly program: PairOptions['program'];
  readonly targetMemory?: PairOptions['targetMemory'];
  /** All of the list is at the destination before the VM moves. Default: nothing of it comes from storage before. */
  readonly allThere?: true;
  /** Both QEMUs have the capability postcopy-preempt. */
  readonly preempts?: true;
  /** QEMU is not told to go over to post-copy. */
  readonly endsAsPrecopy?: true;
  /** Engines that are killed when the VM has moved, before all that is missing can be known to lie on storage. */
  readonly dies?: readonly ('source' | 'destination')[];
  /** The guest runs on when QEMU keeps track of what it writes, so that what is listed is on storage, or sent once more. */
  readonly listIsRight?: true;
  /** The target's process stands when the VM is to move, and is waited for 2 s. */
  readonly targetStands?: true;
  /** The destination engine waits 2 s for a target that takes nothing. */
  readonly impatient?: true;
  /** QEMU's arguments. Default: what has it wait for the target's ack. */
  readonly qemu?: readonly string[];
}

/** Migrates until the source engine says that the VM may move, and the VM stands, as a manager stops it. */
async function whileReady(
  t: ExecutionContext,
  conditions: Conditions,
  body: (moving: Omit<Moving, 'missing'>) => Promise<void>,
): Promise<void> {
  if (installation === undefined) throw new Error('no QEMU');
  t.timeout(15 * 60_000);
  const { program, targetMemory, allThere, preempts, endsAsPrecopy, listIsRight, targetStands } = conditions;
  const { qemu = waitsForAck, impatient } = conditions;
  const pair = await VmPair.start(installation, {
    ramBytes,
    diskBytes: 96 * MiB,
    program,
    capabilities: [
      ...(['return-path', 'switchover-ack', 'postcopy-ram'] as const),
      ...(preempts === true ? (['postcopy-preempt'] as const) : []),
    ],
    // QEMU 10.0 completes as pre-copy where what is left fits into the downtime.
    parameters: postcopyAlways,
    arguments: { source: qemu, target: qemu },
    ...(targetMemory === undefined ? {} : { targetMemory }),
  });
  try {
    if (listIsRight === true) await pair.source.execute('stop');
    pair.cache(cachedRuns);
    const nbdSocket = path.join(pair.folder, 'nbd');
    const nbd = await startNbdServer(installation, pair.diskPath, nbdSocket);
    let rate: number = allThere === true ? linkBytesPerSecond.after : linkBytesPerSecond.before;
    try {
      const sourceLimits = targetStands === true ? ['--stall-limit', '2'] : [];
      const destinationLimits = impatient === true ? ['--stall-limit', '2'] : sourceLimits;
      const share = allThere === true ? '100' : '0';
      const { source, destination } = await pair.startEngines(listOf(cachedRuns, ramBytes), {
        source: ['--list-at', 'start', '--strategy', 'resume', '--before-switch', share, ...sourceLimits],
        storage: nbd.location,
        destination: ['--storage-limit', '3600', ...destinationLimits],
        connect: (address) => slowLink(t, address, () => rate),
      });
      if (conditions.dies !== undefined) {
        // What the source sends when the VM has moved does not arrive.
        const stands = (): void => {
          rate = 0;
        };
        void destination.event('committed').then(stands, stands);
      }
      await destination.event('storage');
      if (nbd.pid === undefined) throw new Error('no storage');
      if (allThere !== true) process.kill(nbd.pid, 'SIGSTOP');
      await pair.migrate();
      if (listIsRight === true) {
        await source.event('qemu-connected');
        await pair.source.execute('cont');
      }
      if (endsAsPrecopy !== true) await pair.source.execute('migrate-start-postcopy');
      await source.event(allThere === true ? 'first-pass-done' : 'may-move');
      await source.event('may-move');
      await pair.source.execute('stop');
      if (targetStands === true) stopTarget(pair);
      source.kill('SIGUSR1');
      const started = performance.now();
      const lap = (what: string): void => {
        t.log(`${what} ${Math.round((performance.now() - started) / 100) / 10} s`);
      };
      void source.event('moved').then(
        () => {
          lap('moved');
        },
        () => undefined,
      );
      void source.event('started').then(
        () => {
          lap('started');
        },
        () => undefined,
      );
      await body({
        pair,
        source,
        destination,
        goOn: () => {
          rate = linkBytesPerSecond.after;
          if (nbd.pid !== undefined) process.kill(nbd.pid, 'SIGCONT');
        },
      });
    } finally {
      if (targetStands === true) continueTarget(pair);
      if (nbd.pid !== undefined) process.kill(nbd.pid, 'SIGCONT');
      await nbd.stop();
    }
  } finally {
    await pair.stop();
  }
}

function killQemu({ pid }: VmPair['source']): void {
  if (pid === undefined) throw new Error('no QEMU');
  process.kill(pid, 'SIGKILL');
}

/** Other content on storage than what the guest had read. */
function overwriteDisk({ diskPath }: VmPair, runs: readonly CachedRun[]): void {
  const disk = openSync(diskPath, 'r+');
  for (const { block, count } of runs)
    writeSync(disk, Buffer.alloc(count * 4096, 0xff), 0, count * 4096, block * 4096);
  closeSync(disk);
}

function stopTarget({ target }: VmPair): void {
  if (target.pid === undefined) throw new Error('no target');
  process.kill(target.pid, 'SIGSTOP');
}

/** A target whose migration broke while its process stood may have ended since it goes on. */
function continueTarget({ target }: VmPair): void {
  if (target.pid === undefined) return;
  try {
    process.kill(target.pid, 'SIGCONT');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Migrates until the VM is at the destination, and was continued there. */
async function whileMoved(
  t: ExecutionContext,
  conditions: Conditions,
  body: (moving: Moving) => Promise<void>,
): Promise<void> {
  await whileReady(t, conditions, async (moving) => {
    const { pair, source } = moving;
    await source.event('moved');
    for (const side of conditions.dies ?? []) moving[side].kill('SIGKILL');
    // Both VMs stand: what differs is not there yet. A look at memory without a file would wait for it.
    const missing = conditions.targetMemory === 'anonymous' ? undefined : pair.differingPages().length;
    await pair.target.execute('cont');
    await body({ ...moving, missing });
  });
}

/** The rest comes, all is well, and memory is the same. */
async function completes(
  t: ExecutionContext,
  { pair, source, destination, goOn }: Omit<Moving, 'missing'>,
): Promise<void> {
  goOn();
  t.is(await source.ended, 0, JSON.stringify(source.events.slice(-3)) + source.errors);
  t.is(await destination.ended, 0, JSON.stringify(destination.events.slice(-3)) + destination.errors);
  await pair.source.waitForMigration(({ status: is }) => is === 'completed', 60_000);
  await pair.target.waitForMigration(({ status: is }) => is === 'completed', 60_000);
  await pair.target.execute('stop');
  t.deepEqual(pair.differingPages(), []);
}

async function status(qemu: VmPair['source']): Promise<string> {
  return ((await qemu.execute('query-status')) as { readonly status: string }).status;
}

const guests = {
  'touches none of them': { program: quiet },
  'writes to all of them': { program: busy, targetMemory: 'anonymous' },
  'writes to all of them, with a connection for what is waited for': {
    ...{ program: busy, targetMemory: 'anonymous', preempts: true },
  },
} as const satisfies Readonly<Record<string, Conditions>>;
for (const [name, conditions] of Object.entries(guests)) {
  serially(
    `the VM runs at the destination before its listed pages are there; a guest that ${name}`,
    async (t) => {
      await whileMoved(t, conditions, async (moving) => {
        t.log(`${moving.missing ?? 'some'} pages were missing when the VM moved`);
        t.not(moving.missing, 0);
        await completes(t, moving);
      });
    },
  );
}

serially(
  'where the target takes nothing any more when the VM stands for its move, it never runs there, and the source says what to do',
  async (t) => {
    await whileReady(t, { program: busy, targetStands: true }, async ({ pair, source, destination }) => {
      t.deepEqual([await source.ended, await destination.ended], [1, 1]);
      const { code, advice = '' } = await source.event('failed');
      // Whichever engine's limit comes first.
      t.regex(code, /^(limit|peer-aborted)$/);
      t.regex(advice, /postcopy-paused/);
      const ended = ['failed', 'cancelled', 'postcopy-paused'];
      await pair.source
        .waitForMigration(({ status: is }) => ended.includes(is ?? ''), 60_000)
        .catch(() => undefined);
      const { status: migration = '' } = await pair.source.execute('query-migrate');
      t.log(migration);
      t.true(ended.includes(migration));
      // QEMU before 10.2 may have sent its package, and does not run the VM any more.
      if (migration !== 'postcopy-paused') {
        await pair.source.execute('cont');
        t.is(await status(pair.source), 'running');
      }
      continueTarget(pair);
      await pair.target.execute('cont').catch(() => undefined);
      t.not(await status(pair.target).catch(() => 'ended'), 'running');
    });
  },
);

(waitsForAck.length === 0 ? test.serial.skip : serially)(
  'a QEMU that goes over to post-copy before the VM may move runs it on at the source',
  async (t) => {
    const conditions = { program: busy, qemu: [] };
    const error = await t.throwsAsync(whileReady(t, conditions, () => Promise.resolve()));
    t.regex(error.message, /early-postcopy/);
  },
);

for (const targetMemory of ['file', 'anonymous'] as const) {
  serially(
    `a VM of which everything is there, so that QEMU has nothing left to send, moves; ${targetMemory} memory`,
    async (t) => {
      await whileReady(t, { program: quiet, allThere: true, targetMemory }, async (moving) => {
        await moving.source.event('started');
        await completes(t, moving);
      });
    },
  );
}

serially(
  'a target that waits for a second connection, and a QEMU that ends as pre-copy and opens none',
  async (t) => {
    await whileMoved(t, { program: quiet, endsAsPrecopy: true, preempts: true }, async (moving) => {
      t.not(moving.missing, 0);
      await completes(t, moving);
    });
  },
);

serially(
  'QEMU ends as pre-copy while pages are missing: the VM runs at the destination all the same',
  async (t) => {
    await whileMoved(t, { program: quiet, endsAsPrecopy: true }, async (moving) => {
      t.not(moving.missing, 0);
      await completes(t, moving);
    });
  },
);

serially(
  'the destination engine dies when the VM has moved: the source keeps its VM stopped, and says where it is',
  async (t) => {
    await whileMoved(t, { program: quiet }, async ({ pair, source, destination }) => {
      destination.kill('SIGKILL');
      const { advice } = await source.event('incomplete');
      t.regex(advice, /NEVER continue it here/);
      source.kill('SIGTERM');
      await source.event('signal-refused');
      t.not(await status(pair.source), 'running');
      await t.throwsAsync(
        pair.source
          .execute('migrate_cancel')
          .then(() => status(pair.source))
          .then((is) => {
            if (is !== 'running') throw new Error(is);
          }),
      );
      await pair.source.execute('quit').catch(() => undefined);
      t.is(await source.ended, 4);
    });
  },
);

serially(
  'the source engine dies when the VM has moved: the target keeps it, and the source does not run it',
  async (t) => {
    await whileMoved(t, { program: quiet, dies: ['source'] }, async ({ pair, destination }) => {
      const { advice } = await destination.event('incomplete');
      t.regex(advice, /migrate-recover/);
      t.is(await destination.ended, 4);
      t.not(await status(pair.source), 'running');
      await sleep(500);
      t.not(await status(pair.source), 'running');
      await pair.target.waitForMigration(({ status: is }) => is === 'postcopy-paused', 60_000);
      // It has sent all that it knows of long since, so that there is nothing that it could resume.
      const { status: migration } = await pair.source.execute('query-migrate');
      t.log(migration);
      t.true(['failed', 'postcopy-paused'].includes(migration ?? ''));
    });
  },
);

const lost = {
  'its engine is killed, and the guest touches nothing of it': {
    ...{ conditions: { program: quiet, listIsRight: true }, dies: ['engine'] },
  },
  'its host is lost, and the guest writes to it': {
    conditions: { program: busy, targetMemory: 'anonymous', listIsRight: true },
    dies: ['engine', 'qemu'],
  },
  'its QEMU is killed, and the guest writes to it; with postcopy-preempt': {
    conditions: { program: busy, targetMemory: 'anonymous', preempts: true, listIsRight: true },
    dies: ['qemu'],
  },
} as const satisfies Readonly<
  Record<string, { readonly conditions: Conditions; readonly dies: readonly ('engine' | 'qemu')[] }>
>;
for (const [name, { conditions, dies: itsDead }] of Object.entries(lost)) {
  const dies: readonly string[] = itsDead;
  serially(`what is missing comes from storage without the source: ${name}`, async (t) => {
    await whileMoved(t, conditions, async ({ pair, source, destination, goOn }) => {
      await source.event('source-free');
      for (const what of dies) {
        if (what === 'engine') source.kill('SIGKILL');
        else killQemu(pair.source);
      }
      await destination.event('source-lost');
      // Nothing of the list came from storage so far.
      const { pages_restored: restored } = destination.lastCounters;
      t.is(restored, 0);
      goOn();
      t.is(await destination.ended, 0, JSON.stringify(destination.events.slice(-3)) + destination.errors);
      t.log(`${destination.lastCounters.pages_restored} pages came from storage`);
      t.true(destination.lastCounters.pages_restored > 1000);
      await pair.target.waitForMigration(({ status: is }) => is === 'completed', 60_000);
      t.is(await status(pair.target), 'running');
      await pair.target.execute('stop');
      t.deepEqual(pair.differingPages(), []);
      // Whoever finds the source later finds a VM that stands, or none.
      if (!dies.includes('qemu')) t.not(await status(pair.source), 'running');
      else t.is(await source.ended, dies.includes('engine') ? undefined : 4);
    });
  });
}

serially(
  'without the source, a target that stands is waited for only so long: the VM is there without the rest, and a recovery brings it',
  async (t) => {
    const conditions = { program: quiet, listIsRight: true, impatient: true } as const;
    await whileMoved(t, conditions, async ({ pair, source, destination, goOn }) => {
      await source.event('source-free');
      stopTarget(pair);
      try {
        source.kill('SIGKILL');
        await destination.event('source-lost');
        goOn();
        t.regex((await destination.event('incomplete')).reason, /the target QEMU to read for \d+ s/);
        t.is(await destination.ended, 4);
      } finally {
        continueTarget(pair);
      }
      t.not(await status(pair.source), 'running');
      const recovery = recoveryOver(pair, await waitsForRecovery(pair));
      t.true((await recovery.event('recovering')).pages_pending > 0);
      t.is(await recovery.ended, 0, JSON.stringify(recovery.events.slice(-3)) + recovery.errors);
      await pair.target.execute('stop');
      t.deepEqual(pair.differingPages(), []);
    });
  },
);

serially(
  'what storage has not as it was listed is needed from the source: without it the VM is there without these pages, and a recovery brings them',
  async (t) => {
    await whileMoved(t, { program: quiet }, async ({ pair, source, destination, goOn }) => {
      await source.event('source-free');
      source.kill('SIGKILL');
      await destination.event('source-lost');
      overwriteDisk(pair, cachedRuns.slice(1000, 1008));
      goOn();
      t.regex((await destination.event('incomplete')).reason, /storage has other content of 32 pages/);
      t.is(await destination.ended, 4);
      t.not(await status(pair.source), 'running');
      const recovery = recoveryOver(pair, await waitsForRecovery(pair));
      // And what was on its way to QEMU.
      t.true((await recovery.event('recovering')).pages_pending >= 32);
      t.is(await recovery.ended, 0, JSON.stringify(recovery.events.slice(-3)) + recovery.errors);
      await pair.target.execute('stop');
      t.deepEqual(pair.differingPages(), []);
    });
  },
);

/** Tells the target to wait for a recovery. Returns the socket on which it does. */
async function waitsForRecovery({ target, folder }: VmPair): Promise<string> {
  await target.waitForMigration(({ status: is }) => is === 'postcopy-paused', 60_000);
  const socket = path.join(mkdtempSync(path.join(folder, 'recovery-')), 'socket');
  await target.execute('migrate-recover', { uri: `unix:${socket}` }, { outOfBand: true });
  return socket;
}

function recoveryOver(pair: VmPair, socket: string): EngineProcess {
  return new EngineProcess(['recover', `${pair.outgoingPath}.recovery`, '--target', `unix:${socket}`]);
}

const broken = {
  'the source engine was killed': { program: quiet, dies: ['source'] },
  'both engines were killed, and the guest writes to what is missing': {
    ...{ program: busy, targetMemory: 'anonymous', dies: ['source', 'destination'] },
  },
  'the destination engine was killed; with postcopy-preempt': {
    ...{ program: busy, targetMemory: 'anonymous', preempts: true, dies: ['destination'] },
  },
} as const satisfies Readonly<Record<string, Conditions>>;
for (const [name, conditions] of Object.entries(broken)) {
  serially(`a recovery brings what is missing when ${name}`, async (t) => {
    await whileMoved(t, conditions, async ({ pair }) => {
      const recovery = recoveryOver(pair, await waitsForRecovery(pair));
      const { pages_pending: missing } = await recovery.event('recovering');
      t.log(`${missing} pages were missing`);
      t.true(missing > 0);
      t.is(await recovery.ended, 0, JSON.stringify(recovery.events.slice(-3)) + recovery.errors);
      await pair.target.waitForMigration(({ status: is }) => is === 'completed', 60_000);
      t.not(await status(pair.source), 'running');
      t.is(await status(pair.target), 'running');
      await pair.target.execute('stop');
      t.deepEqual(pair.differingPages(), []);
      // It is of no use any more, and no second recovery finds it.
      await t.throwsAsync(access(`${pair.outgoingPath}.recovery`), { code: 'ENOENT' });
    });
  });
}

/** From storage, with what the destination engine has left. */
function recoveryFromStorage(pair: VmPair, socket: string): EngineProcess {
  return new EngineProcess(['recover', `${pair.incomingPath}.recovery`, '--target', `unix:${socket}`]);
}

serially(
  'all but the target is killed when the source is not needed any more: a recovery brings what is missing from storage',
  async (t) => {
    const conditions = { program: busy, targetMemory: 'anonymous', listIsRight: true } as const;
    await whileMoved(t, conditions, async ({ pair, source, destination, goOn }) => {
      await destination.event('source-free');
      destination.kill('SIGKILL');
      source.kill('SIGKILL');
      killQemu(pair.source);
      await Promise.all([destination.ended, source.ended]);
      goOn();
      const recovery = recoveryFromStorage(pair, await waitsForRecovery(pair));
      const { pages_pending: missing } = await recovery.event('recovering');
      t.log(`${missing} pages were missing`);
      t.true(missing > 1000);
      t.is(await recovery.ended, 0, JSON.stringify(recovery.events.slice(-3)) + recovery.errors);
      t.is(recovery.lastCounters.pages_restored, missing);
      await pair.target.waitForMigration(({ status: is }) => is === 'completed', 60_000);
      t.is(await status(pair.target), 'running');
      await pair.target.execute('stop');
      t.deepEqual(pair.differingPages(), []);
      await t.throwsAsync(access(`${pair.incomingPath}.recovery`), { code: 'ENOENT' });
    });
  },
);

serially(
  'a recovery from storage that has other content brings the rest, and the source what is missing then',
  async (t) => {
    await whileMoved(
      t,
      { program: quiet, listIsRight: true },
      async ({ pair, source, destination, goOn }) => {
        await destination.event('source-free');
        for (const engine of [destination, source]) engine.kill('SIGKILL');
        await Promise.all([destination.ended, source.ended]);
        overwriteDisk(pair, cachedRuns.slice(1000, 1008));
        goOn();
        const early = recoveryFromStorage(pair, await waitsForRecovery(pair));
        const { reason } = await early.event('incomplete');
        t.regex(reason, /^32 pages are missing still.* other content of 32, 0 could not be read/);
        t.is(await early.ended, 4);
        const late = recoveryOver(pair, await waitsForRecovery(pair));
        t.is((await late.event('recovering')).pages_pending, 32);
        t.is(await late.ended, 0, JSON.stringify(late.events.slice(-3)) + late.errors);
        await pair.target.execute('stop');
        t.deepEqual(pair.differingPages(), []);
      },
    );
  },
);

serially('a recovery that is killed, or ended by Ctrl-C, can be made again', async (t) => {
  await whileMoved(t, { program: quiet, dies: ['source', 'destination'] }, async ({ pair }) => {
    for (const signal of ['SIGKILL', 'SIGINT'] as const) {
      const recovery = recoveryOver(pair, await waitsForRecovery(pair));
      await recovery.event('recovering');
      recovery.kill(signal);
      t.is(await recovery.ended, signal === 'SIGINT' ? 130 : undefined);
    }
    const last = recoveryOver(pair, await waitsForRecovery(pair));
    t.is(await last.ended, 0, JSON.stringify(last.events.slice(-3)) + last.errors);
    await pair.target.execute('stop');
    t.deepEqual(pair.differingPages(), []);
  });
});

serially('a recovery without a target that waits, or without the source, says so', async (t) => {
  await whileMoved(t, { program: quiet, dies: ['source', 'destination'] }, async ({ pair }) => {
    await pair.target.waitForMigration(({ status: is }) => is === 'postcopy-paused', 60_000);
    const early = recoveryOver(pair, path.join(pair.folder, 'nobody'));
    t.is(await early.ended, 1);
    t.regex((await early.event('failed')).reason, /nobody waits on .*migrate-recover/);
    const socket = await waitsForRecovery(pair);
    await pair.source.stop();
    const late = recoveryOver(pair, socket);
    t.is(await late.ended, 1);
    t.regex(late.errors, /has ended, and what is missing/);
    t.is((await pair.target.execute('query-migrate')).status, 'postcopy-paused');
  });
});
