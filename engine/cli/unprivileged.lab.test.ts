/**
 * Engines without root between two real QEMUs that have none either: what docs/engine.md says that each of them needs is
 * enough, and without it the reason is clear. About a minute; needs root, to become somebody else, and QEMU 9 or newer.
 */
import { chmodSync, chownSync, copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { findQemu } from '../../qemu/find-qemu.ts';
import type { QemuInstallation } from '../../qemu/installation.ts';
import { bundleEngine } from './bundle.ts';
import { userNamed } from './run-as-user.ts';
import {
  type CachedRun,
  EngineProcess,
  listOf,
  type PairOptions,
  ramPath,
  type VmPair,
  withVmPair,
} from './testing/vm-pair.ts';

const MiB = 1024 * 1024;
const ramBytes = 64 * MiB;
const cached: readonly CachedRun[] = [{ block: 256, page: 4096, count: 4096 }];
/** So small a memory is sent before it is listed otherwise. */
const fromTheStart = ['--list-at', 'start'];
const nobody = userNamed('nobody');
/** Runs a program as this user, with these capabilities and no more. */
const asNobody = (capabilities: readonly string[] = []): readonly string[] => [
  ...['setpriv', `--reuid=${nobody.uid}`, `--regid=${nobody.gid}`, '--clear-groups'],
  ...(capabilities.length === 0
    ? []
    : [`--inh-caps=${capabilities.join(',')}`, `--ambient-caps=${capabilities.join(',')}`]),
];

/** The engine where anybody may read it: a checkout below /root is not. */
let program = '';
test.before(async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'engine-'));
  chmodSync(folder, 0o755);
  program = path.join(folder, 'engine.mjs');
  await bundleEngine(program);
});
test.after.always(() => {
  rmSync(path.dirname(program), { recursive: true });
});

const installation = findQemu()?.installation;
const serially = installation === undefined || process.getuid?.() !== 0 ? test.serial.skip : test.serial;

async function withPair(
  t: ExecutionContext,
  qemuUser: 'root' | 'nobody',
  body: (pair: VmPair) => Promise<void>,
): Promise<void> {
  if (installation === undefined) throw new Error('no QEMU');
  t.timeout(15 * 60_000);
  const [command = '', ...arguments_] = asNobody();
  const unprivileged: QemuInstallation = {
    ...installation,
    command,
    leadingArguments: [...arguments_, installation.command, ...installation.leadingArguments],
  };
  const options: PairOptions = {
    ramBytes,
    diskBytes: 32 * MiB,
    program: { startBytes: 48 * MiB, endBytes: 49 * MiB, strideBytes: 4096, delayRounds: 200_000 },
    capabilities: ['return-path', 'switchover-ack'],
    ...(qemuUser === 'nobody' ? { owner: nobody } : {}),
  };
  await withVmPair(qemuUser === 'nobody' ? unprivileged : installation, options, async (pair) => {
    pair.cache(cached);
    await body(pair);
  });
}

/** Ids, groups and capabilities of every thread of a process, each line once. */
function rightsOf(pid: number | undefined): string[] {
  const tasks = `/proc/${String(pid)}/task`;
  const lines = readdirSync(tasks).flatMap((task) =>
    readFileSync(`${tasks}/${task}/status`, 'utf8')
      .split('\n')
      .filter((line) => /^(Uid|Gid|Groups|CapPrm|CapEff|CapAmb):/.test(line))
      .map((line) => line.trim().replaceAll('\t', ' ')),
  );
  return [...new Set(lines)].sort();
}

const noRights = [
  'CapAmb: 0000000000000000',
  'CapEff: 0000000000000000',
  'CapPrm: 0000000000000000',
  `Gid: ${[nobody.gid, nobody.gid, nobody.gid, nobody.gid].join(' ')}`,
  'Groups:',
  `Uid: ${[nobody.uid, nobody.uid, nobody.uid, nobody.uid].join(' ')}`,
];

async function migrated(t: ExecutionContext, pair: VmPair): Promise<void> {
  await pair.migrate();
  await pair.completed();
  t.deepEqual(pair.differingPages(), []);
}

function pagesRestored(engine: EngineProcess): number {
  const done = engine.events.find(({ event }) => event === 'done');
  return done?.event === 'done' ? done.pages_restored : 0;
}

serially('--user: what root opened is read on, and nothing of root is left', async (t) => {
  await withPair(t, 'nobody', async (pair) => {
    // Only root may open it by name.
    const ram = ramPath(pair.folder, 'source');
    chownSync(ram, 0, 0);
    const { source, destination } = await pair.startEngines(listOf(cached, ramBytes), {
      source: [...fromTheStart, '--user', 'nobody'],
      destination: ['--user', 'nobody'],
    });
    t.deepEqual(rightsOf(source.pid), noRights);
    t.deepEqual(rightsOf(destination.pid), noRights);
    await migrated(t, pair);
    t.true(pagesRestored(destination) > 0);
    t.deepEqual(
      source.events.filter(({ event }) => event === 'warning'),
      [],
    );
  });
});

serially('engines of QEMU’s own user need no capability, whatever the memory is', async (t) => {
  await withPair(t, 'nobody', async (pair) => {
    const { source, destination } = await pair.startEngines(listOf(cached, ramBytes), {
      prefix: asNobody(),
      program,
      source: fromTheStart,
      ram: `pid:${String(pair.source.pid)}`,
    });
    t.deepEqual(rightsOf(source.pid), noRights);
    await migrated(t, pair);
    t.true(pagesRestored(destination) > 0);
  });
});

serially('the memory of another user’s QEMU needs CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH', async (t) => {
  await withPair(t, 'root', async (pair) => {
    const arguments_ = [
      ...['source', '--listen', `unix:/tmp/poolshift-nobody-${String(process.pid)}/socket`],
      ...['--insecure-plaintext', '--connect', '127.0.0.1:1', '--ram', `pid:${String(pair.source.pid)}`],
    ];
    t.teardown(() => {
      rmSync(`/tmp/poolshift-nobody-${String(process.pid)}`, { recursive: true, force: true });
    });
    for (const capabilities of [[], ['+sys_ptrace'], ['+dac_read_search']]) {
      const refused = new EngineProcess(arguments_, { prefix: asNobody(capabilities), program });
      t.is(await refused.ended, 1);
      t.regex(refused.errors, /cannot open guest memory, process \d+: EACCES/, capabilities.join());
    }
    const allowed = new EngineProcess(arguments_, {
      prefix: asNobody(['+sys_ptrace', '+dac_read_search']),
      program,
    });
    t.is(await allowed.ended, 1);
    t.is(allowed.errors, '');
    // Memory is open: what fails is the next thing, the connection.
    t.like(allowed.events.at(-1), { event: 'failed', code: 'closed' });
  });
});

serially('storage that the user may not read costs the restore, and nothing else', async (t) => {
  await withPair(t, 'nobody', async (pair) => {
    const storage = `${pair.diskPath}-of-root`;
    copyFileSync(pair.diskPath, storage);
    chownSync(storage, 0, 0);
    chmodSync(storage, 0o600);
    const { destination } = await pair.startEngines(listOf(cached, ramBytes), {
      source: [...fromTheStart, '--user', 'nobody'],
      destination: ['--user', 'nobody'],
      storage,
    });
    await migrated(t, pair);
    t.is(pagesRestored(destination), 0);
    t.regex((await destination.event('storage-unusable')).reason, /EACCES|permission/i);
  });
});

serially('memory that others may read is told', async (t) => {
  await withPair(t, 'root', async (pair) => {
    chmodSync(ramPath(pair.folder, 'source'), 0o644);
    const { source } = await pair.startEngines(listOf(cached, ramBytes));
    const { code, reason } = await source.event('warning');
    t.is(code, 'ram-readable-by-others');
    t.regex(reason, /chmod 600/);
  });
});

test('a user that does not exist, or that one cannot become, is refused before anything begins', async (t) => {
  const arguments_ = [
    ...['destination', '--insecure-plaintext', '--listen', '127.0.0.1:0'],
    ...['--incoming', 'unix:/nowhere', '--user'],
  ];
  const unknown = new EngineProcess([...arguments_, 'no-such-user']);
  t.is(await unknown.ended, 2);
  t.regex(unknown.errors, /There is no user no-such-user/);
  if (process.getuid?.() !== 0) return;
  const refused = new EngineProcess([...arguments_, 'root'], { prefix: asNobody(), program });
  t.is(await refused.ended, 1);
  t.regex(refused.errors, /--user needs root/);
});
