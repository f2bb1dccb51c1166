import { readFile } from 'node:fs/promises';
import path from 'node:path';
import test from 'ava';
import { cpuSecondsPerGib, SimulatedCores } from './cores.ts';

const recorded = path.join(import.meta.dirname, '..', '..', 'results', 'bench', 'pair.txt');

test('what a GiB costs is what was recorded', async (t) => {
  const rows = (await readFile(recorded, 'utf8'))
    .split('\n')
    .filter((line) => line.includes(' | '))
    .map((line) => line.split('|').map((cell) => cell.trim()));
  const [head = []] = rows;
  const median = (methods: readonly string[], process: string): number => {
    const values = rows
      .filter(([method = '']) => methods.includes(method))
      .map((row) => Number(row[head.indexOf(process)]))
      .toSorted((a, b) => a - b);
    t.is(values.length, methods.length);
    const middle = (values.length - 1) / 2;
    return ((values[Math.floor(middle)] ?? NaN) + (values[Math.ceil(middle)] ?? NaN)) / 2;
  };
  const restores = ['restore', 'restore, streamed'];
  const balances = ['balance', 'balance, streamed'];
  for (const [cost, measured] of [
    [cpuSecondsPerGib.emits, median([...restores, ...balances], 'source QEMU')],
    [cpuSecondsPerGib.filters, median(restores, 'source engine')],
    [cpuSecondsPerGib.loads, median(['precopy', 'restore, streamed', 'balance, streamed'], 'target QEMU')],
    [cpuSecondsPerGib.places, median(restores, 'destination engine')],
  ] as const)
    t.true(Math.abs(cost / measured - 1) < 0.05, `${cost}, measured ${measured}`);
});

test('what was begun is finished before anything else begins, and what nobody used is gone', (t) => {
  const cores = new SimulatedCores(2);
  cores.begin(10);
  cores.begin(10);
  t.true(cores.areFree);
  // 30 ms of work, where two cores have 20.
  cores.work(2 ** 30, 0.03);
  t.false(cores.areFree);
  cores.begin(5);
  t.false(cores.areFree);
  cores.begin(5);
  t.true(cores.areFree);
  t.is(cores.cpuMs, 30);
});
