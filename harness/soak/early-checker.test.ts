import test from 'ava';
import type { ViolationName } from './checker.ts';
import { endOfEarly, violationsInEarly } from './early-checker.ts';
import type { EngineHistory, History } from './history.ts';

const engine = (end: EngineHistory['end'], ...names: string[]): EngineHistory => ({
  end,
  events: names.map((event, index) => ({ event, atMs: 1000 + index * 100 })),
  errors: '',
});

const kill = (
  process: 'source-engine' | 'destination-engine' | 'source-qemu' | 'target-qemu',
  faultAtMs: number,
): Pick<History, 'fault' | 'faultAtMs'> => ({
  fault: {
    kind: 'action',
    action: { kind: 'signal', process, signal: 'SIGKILL' },
    moment: { when: 'time', afterMs: 0 },
  },
  faultAtMs,
});

const moved: History = {
  fault: { kind: 'none' },
  faultAtMs: undefined,
  source: engine(0, 'committed', 'moved', 'source-free', 'started', 'done'),
  destination: engine(0, 'committed', 'moved', 'source-free', 'started', 'done'),
  sourceVm: { runs: [[0, 1000]], status: 'ended', migration: 'ended' },
  targetVm: { runs: [[1100, Infinity]], status: 'running', migration: 'completed' },
  targetHasVm: true,
  continuedAtSource: false,
  differingPages: [],
  leftovers: [],
  early: { recovered: false },
};

/** Without its source since it was free of it. */
const alone: History = {
  ...moved,
  ...kill('source-engine', 1250),
  source: engine('SIGKILL', 'committed', 'moved', 'source-free'),
  destination: engine(0, 'committed', 'moved', 'source-free', 'source-lost', 'done'),
};

const recovered: History = {
  ...moved,
  ...kill('source-engine', 1150),
  source: engine('SIGKILL', 'committed', 'moved'),
  destination: engine(4, 'committed', 'moved', 'incomplete'),
  early: { recovered: true },
};

const lost: History = {
  ...recovered,
  ...kill('source-qemu', 1150),
  source: engine(4, 'committed', 'moved', 'incomplete'),
  targetVm: { runs: [[1100, Infinity]], status: 'running', migration: 'postcopy-paused' },
  early: { recovered: false },
};

const atSource: History = {
  ...moved,
  ...kill('destination-engine', 1000),
  source: engine(1, 'may-move', 'failed'),
  destination: engine('SIGKILL'),
  sourceVm: { runs: [[0, Infinity]], status: 'running', migration: 'failed' },
  targetVm: { runs: [], status: 'ended', migration: 'ended' },
  targetHasVm: false,
};

const names = (history: History): readonly ViolationName[] =>
  violationsInEarly(history).map(({ name }) => name);

test('nothing is wrong with a move, one that goes on without its source, one that is recovered, and a failure', (t) => {
  for (const [history, end] of [
    [moved, 'at target'],
    [alone, 'at target'],
    [recovered, 'at target'],
    [lost, 'gone with its host'],
    [atSource, 'at source'],
  ] as const) {
    t.deepEqual(violationsInEarly(history), []);
    t.is(endOfEarly(history), end);
  }
});

test('two VMs, or none, or one that differs', (t) => {
  t.deepEqual(names({ ...moved, sourceVm: { ...moved.sourceVm, runs: [[0, 1200]] } }), ['two-vms']);
  t.deepEqual(names({ ...moved, differingPages: [5] }), ['differing-pages']);
  // It runs, and misses pages that nobody brings.
  t.deepEqual(names({ ...lost, ...kill('source-engine', 1150), source: engine('SIGKILL', 'moved') }), [
    'no-vm',
  ]);
});

test('an exit status that is not true', (t) => {
  t.deepEqual(names({ ...atSource, source: engine(0, 'done') }), ['false-migrated']);
  t.deepEqual(names({ ...atSource, source: engine(4, 'incomplete') }), ['false-migrated']);
  t.deepEqual(names({ ...recovered, destination: engine(1, 'moved', 'failed') }), ['false-at-source']);
  t.deepEqual(names({ ...moved, destination: engine(4, 'moved', 'incomplete') }), ['not-migrated']);
});

test('a source that was needed though it was said not to be', (t) => {
  const broken = { ...recovered, ...kill('source-engine', 1350) };
  const said = engine(4, 'committed', 'moved', 'source-free', 'incomplete');
  t.deepEqual(names({ ...broken, destination: said }), ['source-was-needed']);
  // Not where storage turned out to be another's, nor where it had been called back, nor where the fault came before.
  const differs = said.events.map((event) => ({ ...event, reason: 'storage has other content of 4 pages' }));
  t.deepEqual(names({ ...broken, destination: { ...said, events: differs } }), []);
  const needed = engine(4, 'moved', 'source-free', 'source-needed', 'incomplete');
  t.deepEqual(names({ ...broken, destination: needed }), []);
  t.deepEqual(names({ ...broken, ...kill('source-engine', 1150), destination: said }), []);
});
