import test from 'ava';
import type { EngineName } from '../../experiments/engines.ts';
import type { Manifest } from '../manifest.ts';
import {
  runNameOf,
  differencesAmong,
  mergedPlan,
  missingCells,
  missingShards,
  repeatedCells,
} from './merge.ts';
import { manifest } from '../record.fixture.ts';

const run = (set: string, changes: Partial<Manifest> = {}) => ({
  set,
  manifest: { ...manifest, ...changes },
});
const configured = (changes: Partial<Manifest['configuration']>): Partial<Manifest> => ({
  configuration: { ...manifest.configuration, ...changes },
});

test('a cell is named as its folder', (t) => {
  t.is(runNameOf(manifest), 'rw-16-precopy-r1');
  t.is(runNameOf({ ...manifest, vm: 1 }), 'rw-16-precopy-r1-vm1');
});

test('the same cell twice is found, with the sets that hold it', (t) => {
  t.deepEqual(
    repeatedCells([run('a'), run('b', { repeat: 2 }), run('c', configured({ engine: 'restore' }))]),
    [],
  );
  t.deepEqual(repeatedCells([run('a'), run('b')]), ['rw-16-precopy-r1 is in a and in b']);
});

test('the plan of a merged set is that of all sets; one without a record counts with its runs', (t) => {
  const [a, b, c] = [1, 2, 3].map(
    (repeat) => ({ scenario: 'rw', mem: '16', engine: 'precopy', repeat }) as const,
  );
  if (a === undefined || b === undefined || c === undefined) throw new Error('three cells are needed');
  const runs = [run('one'), run('old', { repeat: 3 })];
  t.deepEqual(mergedPlan([[a, b], undefined], runs), [a, b, c]);
  t.deepEqual(
    mergedPlan(
      [
        [a, b],
        [b, c],
      ],
      [run('one')],
    ),
    [a, b, c],
  );
  t.is(mergedPlan([undefined, undefined], runs), undefined);
});

test('planned cells that no run is of are named in the order of the plan', (t) => {
  const plan = [3, 1, 2].map((repeat) => ({ scenario: 'rw', mem: '16', engine: 'precopy', repeat }) as const);
  t.deepEqual(missingCells(plan, [run('one')]), ['rw-16-precopy-r3', 'rw-16-precopy-r2']);
  t.deepEqual(missingCells(plan.slice(1, 2), [run('one')]), []);
  t.deepEqual(missingCells(undefined, [run('one')]), []);
});

test('what makes a cell is no difference, nor is the size of another row', (t) => {
  const engine: EngineName = 'restore';
  const shards = [1, 2].map((index) => ({ index, count: 2 }));
  const others = [
    run('b', { ...configured({ engine, scenario: 'ro' }), shard: shards[0], pair: 'x', repeat: 2 }),
    run('c', { ...configured({ paperRowGib: 4, vmMemoryBytes: 2 ** 29 }), shard: shards[1], pair: 'y' }),
  ];
  t.deepEqual(differencesAmong([run('a'), ...others]), []);
});

for (const [what, changes, found] of [
  ['an option', configured({ seed: 2 }), /^seed: 1 \(a\), 2 \(b\)$/],
  ['the size within a row', configured({ vmMemoryBytes: 2 ** 30 }), /^vmMemoryBytes of row 16: /],
  ['the RAM comparison', configured({ verifyRam: true }), /^verifyRam: false \(a\), true \(b\)$/],
  [
    'the target memory',
    configured({ targetMemory: 'prefaulted' }),
    /^targetMemory: plain \(a\), prefaulted \(b\)$/,
  ],
  ['the warm start', configured({ warmStart: true }), /^warmStart: false \(a\), true \(b\)$/],
  ['the accelerator', { accelerator: { name: 'kvm', reason: '' } }, /^accelerator: tcg \(a\), kvm \(b\)$/],
  ['a version', { versions: { ...manifest.versions, qemu: '11.0' } }, /^version of qemu: 10\.0\.13/],
  ['the build', { revision: { commit: 'abc', dirty: false } }, /^revision: 0123456789abcdef \(a\), abc/],
  ['a changed build', { revision: { ...manifest.revision, dirty: true } }, /abcdef with changes \(b\)$/],
  ['the machine', { machine: { ...manifest.machine, cores: 4 } }, /^machine: x, 2 cores.*4 cores/],
] as const satisfies readonly (readonly [string, Partial<Manifest>, RegExp])[]) {
  test(`${what} is a difference, and is named`, (t) => {
    const differences = differencesAmong([run('a'), run('b', changes)]);
    t.is(differences.length, 1);
    t.regex(differences[0] ?? '', found);
  });
}

test('shards of other pairs of machines go together, and so do rows of other sizes', (t) => {
  const a = run('a', configured({ inventory: 'rack-a.yaml', warehouses: 3 }));
  const b = run('b', configured({ inventory: 'rack-b.yaml', warehouses: 9, paperRowGib: 8 }));
  t.deepEqual(differencesAmong([a, b]), []);
});

test('shards of another matrix do not go together', (t) => {
  const [a, b] = [run('a', { shard: { index: 1, count: 2 } }), run('b', { shard: { index: 2, count: 3 } })];
  t.deepEqual(differencesAmong([a, b]), ['number of shards: 2 (a), 3 (b)']);
});

test('shards that are not there are named', (t) => {
  const sharded = [1, 3].map((index) => run(`set-${index}`, { shard: { index, count: 4 } }));
  t.deepEqual(missingShards(sharded), ['2/4', '4/4']);
  t.deepEqual(missingShards([run('a')]), []);
});
