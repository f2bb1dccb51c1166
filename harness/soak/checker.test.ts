import test from 'ava';
import { sourceWentOn, endOf, type ViolationName, violationsIn } from './checker.ts';
import { type DatabaseHistory, type EngineHistory, type History, runsOf } from './history.ts';
import type { Action, Fault } from './plan.ts';

const engine = (end: EngineHistory['end'], ...names: string[]): EngineHistory => ({
  end,
  events: names.map((event, index) => ({ event, atMs: 1000 + index })),
  errors: '',
});

const fault = (action: Action): Pick<History, 'fault' | 'faultAtMs'> => ({
  fault: { kind: 'action', action, moment: { when: 'time', afterMs: 0 } },
  faultAtMs: 1000,
});
const cutLink = fault({ kind: 'cut', place: 'link', how: 'end' });
const kill = (
  process: Extract<Action, { kind: 'signal' }>['process'],
): Pick<History, 'fault' | 'faultAtMs'> => fault({ kind: 'signal', process, signal: 'SIGKILL' });
const none: { readonly fault: Fault; readonly faultAtMs: undefined } = {
  fault: { kind: 'none' },
  faultAtMs: undefined,
};

const migrated: History = {
  ...none,
  source: engine(0, 'switch-over', 'committed', 'started', 'done'),
  destination: engine(0, 'switch-over', 'committed', 'started', 'done'),
  sourceVm: { runs: [[0, 1000]], status: 'postmigrate', migration: 'completed' },
  targetVm: { runs: [[1100, Infinity]], status: 'running', migration: 'completed' },
  targetHasVm: true,
  continuedAtSource: false,
  differingPages: [],
  leftovers: [],
};

const atSource: History = {
  ...migrated,
  ...cutLink,
  source: engine(1, 'switch-over', 'failed'),
  destination: engine(1, 'switch-over', 'failed'),
  sourceVm: {
    runs: [
      [0, 1000],
      [1100, Infinity],
    ],
    status: 'running',
    migration: 'failed',
  },
  targetVm: { runs: [], status: 'ended', migration: 'ended' },
  targetHasVm: false,
  differingPages: undefined,
};

const doubted: History = {
  ...migrated,
  ...cutLink,
  source: engine(3, 'switch-over', 'committed', 'in-doubt'),
  resolution: { atMs: 5000, to: 'target' },
  sourceVm: { runs: [[0, 1000]], status: 'ended', migration: 'ended' },
  targetVm: { runs: [[5100, Infinity]], status: 'running', migration: 'completed' },
};

const names = (history: History): readonly ViolationName[] => violationsIn(history).map(({ name }) => name);

test('nothing is wrong with a migration, a failure, and a doubt that somebody has decided', (t) => {
  t.deepEqual(violationsIn(migrated), []);
  t.is(endOf(migrated), 'at target');
  t.deepEqual(violationsIn(atSource), []);
  t.is(endOf(atSource), 'at source');
  t.deepEqual(violationsIn(doubted), []);
  t.is(endOf(doubted), 'at target');
});

test('an end by a signal is a cancelled migration', (t) => {
  const { fault: meant, faultAtMs } = fault({ kind: 'signal', process: 'source-engine', signal: 'SIGTERM' });
  const cancelled = { ...atSource, fault: meant, faultAtMs, source: engine(130, 'cancelled') };
  t.deepEqual(names(cancelled), []);
  t.deepEqual(names({ ...cancelled, source: engine(130, 'failed') }), ['no-last-word']);
});

test('two VMs at once, and not one after the other', (t) => {
  const overlap = { ...migrated, targetVm: { ...migrated.targetVm, runs: [[999, Infinity] as const] } };
  t.deepEqual(names(overlap), ['two-vms']);
  const inTurn = { ...migrated, targetVm: { ...migrated.targetVm, runs: [[1000, Infinity] as const] } };
  t.deepEqual(names(inTurn), []);
});

test('no VM, unless its host died', (t) => {
  const gone: History = {
    ...atSource,
    sourceVm: { runs: [[0, 1000]], status: 'ended', migration: 'ended' },
  };
  t.true(names(gone).includes('no-vm'));
  const killed: History = { ...gone, ...kill('source-qemu') };
  t.deepEqual(names(killed), []);
  t.is(endOf(killed), 'gone with its host');
  const target = { ...migrated.targetVm, status: 'ended' };
  t.deepEqual(names({ ...migrated, ...kill('target-qemu'), targetVm: target }), []);
});

test('a target that was killed before it had the VM takes nothing with it', (t) => {
  const lost: History = {
    ...migrated,
    ...kill('target-qemu'),
    targetVm: { runs: [], status: 'ended', migration: 'ended' },
    targetHasVm: false,
    differingPages: undefined,
  };
  t.deepEqual(names(lost), ['no-vm', 'false-migrated', 'false-migrated']);
});

test('pages that differ', (t) => {
  t.deepEqual(names({ ...migrated, differingPages: [7] }), ['differing-pages']);
});

test('an engine that says "at source" of a VM that is at the target, or nowhere', (t) => {
  t.deepEqual(names({ ...migrated, ...cutLink, destination: engine(1, 'failed') }), ['false-at-source']);
  const stopped = { ...atSource.sourceVm, runs: [[0, 1000] as const], status: 'postmigrate' };
  t.deepEqual(names({ ...atSource, sourceVm: stopped }), ['no-vm', 'false-at-source', 'false-at-source']);
});

test('doubt where nothing broke, or before the switchover', (t) => {
  t.true(names({ ...doubted, ...none }).includes('false-in-doubt'));
  t.deepEqual(names({ ...doubted, fault: { kind: 'missing-device' }, faultAtMs: 0 }), ['false-in-doubt']);
  t.deepEqual(names({ ...doubted, source: engine(3, 'in-doubt') }), ['false-in-doubt']);
});

test('a VM that goes on at the source while it is in doubt, before anybody decided', (t) => {
  const ran: History = {
    ...doubted,
    resolution: { atMs: 5000, to: 'source' },
    targetVm: { runs: [], status: 'ended', migration: 'ended' },
    targetHasVm: false,
    destination: engine(1, 'failed'),
    sourceVm: {
      runs: [
        [0, 1000],
        [2000, Infinity],
      ],
      status: 'running',
      migration: 'failed',
    },
    differingPages: undefined,
  };
  t.deepEqual(names(ran), ['ran-in-doubt']);
  t.deepEqual(names({ ...ran, resolution: { atMs: 1500, to: 'source' } }), []);
  t.deepEqual(names({ ...ran, ...kill('source-engine') }), []);
});

test('a migration without a fault that does not succeed', (t) => {
  t.deepEqual(names({ ...atSource, ...none }), ['not-migrated']);
});

test('an engine that goes without a word, in an unknown way, or not at all', (t) => {
  t.deepEqual(names({ ...migrated, source: engine(0, 'switch-over') }), ['no-last-word']);
  t.deepEqual(names({ ...atSource, source: engine(7, 'failed') }), ['crashed']);
  t.deepEqual(names({ ...atSource, source: engine('SIGSEGV') }), ['crashed']);
  t.deepEqual(names({ ...atSource, ...kill('source-engine'), source: engine('SIGKILL') }), []);
  const stack = { ...engine(1, 'failed'), errors: 'TypeError: x\n    at f (file:///engine.mjs:1:2)\n' };
  t.deepEqual(names({ ...atSource, source: stack }), ['crashed']);
  t.deepEqual(names({ ...atSource, source: engine('limit', 'gate-held') }), ['hangs']);
  t.deepEqual(names({ ...atSource, source: engine('limit', 'waiting-for') }), []);
});

const endsAtSource: History = {
  ...migrated,
  ...fault({ kind: 'cancel' }),
  sourceVm: {
    runs: [
      [0, 1000],
      [1100, Infinity],
    ],
    status: 'running',
    migration: 'cancelled',
  },
  targetVm: { runs: [], status: 'paused', migration: 'completed' },
  differingPages: undefined,
};

test('a cancel that wins against the word of the target is counted, and is no violation', (t) => {
  t.deepEqual(names(endsAtSource), []);
  t.true(sourceWentOn(endsAtSource));
  t.is(endOf(endsAtSource), 'at source');
  t.false(sourceWentOn(migrated));
  t.false(sourceWentOn({ ...atSource, ...fault({ kind: 'cancel' }) }));
});

test('so is a source that goes on because its engine was killed when the target had everything', (t) => {
  const killedEngine: History = {
    ...endsAtSource,
    ...fault({ kind: 'signal', process: 'source-engine', signal: 'SIGKILL' }),
    source: { ...endsAtSource.source, end: 'SIGKILL' },
    sourceVm: { ...endsAtSource.sourceVm, migration: 'failed' },
  };
  t.deepEqual(names(killedEngine), []);
  t.true(sourceWentOn(killedEngine));
});

test('exit status 0 and a VM at the source, where nobody has cancelled', (t) => {
  t.deepEqual(names({ ...endsAtSource, ...cutLink }), ['false-migrated', 'false-migrated']);
  const failed = { ...endsAtSource.sourceVm, migration: 'failed' };
  t.deepEqual(names({ ...endsAtSource, sourceVm: failed }), ['false-migrated', 'false-migrated']);
});

const database: DatabaseHistory = {
  startedAnew: false,
  answered: true,
  acknowledged: 100,
  lost: 0,
  tables: [{ table: 'poolshift.ledger', ok: true, message: 'OK' }],
};

test('a database that has all that was promised, on the VM that lives or after a crash', (t) => {
  t.deepEqual(names({ ...migrated, database }), []);
  t.deepEqual(names({ ...migrated, database: { ...database, startedAnew: true } }), []);
});

test('commits that are lost, tables that are broken or gone, and a server that serves nobody', (t) => {
  t.deepEqual(violationsIn({ ...migrated, database: { ...database, lost: 2, firstLost: 7 } }), [
    { name: 'lost-commits', detail: '2 of 100, first 7' },
  ]);
  const [table] = database.tables;
  const broken = [
    { table: 'sbtest.sbtest1', ok: false, message: 'error: Corrupt' },
    ...(table ? [table] : []),
  ];
  t.deepEqual(violationsIn({ ...migrated, database: { ...database, tables: broken } }), [
    { name: 'broken-tables', detail: 'sbtest.sbtest1: error: Corrupt' },
  ]);
  t.deepEqual(names({ ...migrated, database: { ...database, tables: [] } }), ['broken-tables']);
  t.deepEqual(names({ ...migrated, database: { ...database, answered: false, tables: [] } }), ['no-answer']);
});

test('what engines leave behind', (t) => {
  t.deepEqual(names({ ...migrated, leftovers: ['process qemu-storage-daemon'] }), ['leftovers']);
});

test('when a VM ran, by its events', (t) => {
  const events = [
    { name: 'STOP', atMs: 10 },
    { name: 'MIGRATION', atMs: 11 },
    { name: 'RESUME', atMs: 20 },
    { name: 'RESUME', atMs: 21 },
  ];
  t.deepEqual(runsOf(events, 0), [
    [0, 10],
    [20, Infinity],
  ]);
  t.deepEqual(runsOf(events, undefined, 30), [[20, 30]]);
  t.deepEqual(runsOf([], undefined), []);
});
