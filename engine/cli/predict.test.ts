import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { InvalidArgumentError } from 'commander';
import { z } from 'zod';
import { modelErrors, modelErrorTable } from '../simulation/model-error.ts';
import { notSimulated, simulatedEngines } from '../simulation/simulate.ts';
import { bitsPerSecond, bytes, number, share } from './arguments.ts';

const program = path.join(import.meta.dirname, 'predict.ts');
const predict = (...options: string[]) => execa(process.execPath, [program, ...options], { reject: false });

test('quantities', (t) => {
  t.is(bitsPerSecond('10gbit'), 1e10);
  t.is(bitsPerSecond('1.5Mbit'), 1.5e6);
  t.is(bitsPerSecond('125000000'), 125e6);
  t.is(bytes('15M'), 15e6);
  t.is(bytes('1kB'), 1000);
  t.is(share('0.5'), 0.5);
  t.is(number(1)('2.5'), 2.5);
  for (const read of [bitsPerSecond, bytes, share, number(1)]) {
    for (const text of ['', 'x', '-1', '0.5x', '10gib/s']) {
      t.throws(() => read(text), { instanceOf: InvalidArgumentError }, text);
    }
  }
  t.throws(() => bitsPerSecond('0gbit'), { instanceOf: InvalidArgumentError });
});

test('a prediction scales: memory and links divided alike take the same time', async (t) => {
  const outcome = z.object({
    predictions: z.array(z.object({ engine: z.string(), totalTimeMs: z.number(), converged: z.boolean() })),
  });
  const times = async (scale: string): Promise<number[]> => {
    const { stdout, exitCode } = await predict(
      '--mem',
      '1',
      '--link-rate',
      '1gbit',
      '--scale',
      scale,
      '--json',
    );
    t.is(exitCode, 0);
    const { predictions } = outcome.parse(JSON.parse(stdout));
    t.deepEqual(
      predictions.map(({ engine }) => engine),
      [...simulatedEngines],
    );
    return predictions.map(({ totalTimeMs }) => totalTimeMs);
  };
  const [whole, scaled] = await Promise.all([times('1'), times('8')]);
  whole.forEach((time, index) => {
    t.true(Math.abs((scaled[index] ?? 0) / time - 1) < 0.05, `${time} and ${scaled[index] ?? ''} ms`);
  });
});

test('an aged guest has more to send, and what is said of it by hand counts', async (t) => {
  const shares = z.object({
    setup: z.object({ guest: z.object({ zeroShare: z.number(), listedShare: z.number() }) }),
  });
  const guestOf = async (...options: string[]) => {
    const { stdout } = await predict('--mem', '0.125', '--json', ...options);
    return shares.parse(JSON.parse(stdout)).setup.guest;
  };
  const [fresh, aged, byHand] = await Promise.all([
    guestOf(),
    guestOf('--guest', 'aged'),
    guestOf('--guest', 'aged', '--zero', '0.01'),
  ]);
  t.true(aged.zeroShare < fresh.zeroShare);
  t.deepEqual(byHand, { ...aged, zeroShare: 0.01 });
  t.is((await predict('--mem', '1', '--guest', 'old')).exitCode, 2);
});

test('every engine has figures or the reason why it has none, and the model’s error stands below', async (t) => {
  const options = ['--mem', '0.125', '--link-rate', '1gbit'];
  const [table, json] = await Promise.all([predict(...options), predict(...options, '--json')]);
  for (const engine of simulatedEngines) t.regex(table.stdout, new RegExp(`^${engine} +\\d+\\.\\d `, 'm'));
  for (const [engine, reason] of Object.entries(notSimulated)) {
    t.regex(table.stdout, new RegExp(`^${engine} +not modelled: ${reason}$`, 'm'));
  }
  const printed = table.stdout.split('\n').map((line) => line.replaceAll(/ {2,}/g, ' | '));
  t.deepEqual(
    printed.slice(-modelErrorTable().length),
    modelErrorTable().map((row) => row.join(' | ')),
  );
  const named = z.array(z.object({ engine: z.string() }));
  const outcome = z
    .object({ predictions: named, notModelled: named, modelErrors: z.unknown() })
    .parse(JSON.parse(json.stdout));
  t.deepEqual(
    [...outcome.predictions, ...outcome.notModelled].map(({ engine }) => engine),
    [...simulatedEngines, ...Object.keys(notSimulated)],
  );
  t.deepEqual(outcome.modelErrors, JSON.parse(JSON.stringify(modelErrors)));
});

test('wrong command lines end with status 2, help with 0', async (t) => {
  for (const options of [
    [],
    ['--mem', 'x'],
    ['--mem', '1', '--listed', '2'],
    ['--unknown'],
    ['--mem', '1', 'x'],
    ['--mem', '1e9'],
    ['--mem', '0.0625', '--scale', '8'],
    ['--against', 'set', '--mem', '1'],
  ]) {
    t.is((await predict(...options)).exitCode, 2, options.join(' '));
  }
  t.is((await predict('--help')).exitCode, 0);
});

test('--against takes a set; what is no set, or has nothing that can be predicted, ends with status 2', async (t) => {
  const results = path.join(import.meta.dirname, '../../results');
  const set = await predict('--against', path.join(results, 'reference-2026-11-25-pairs'), '--json');
  t.is(set.exitCode, 0, set.stderr);
  const runs = z.array(z.object({ runId: z.string(), error: z.number() })).parse(JSON.parse(set.stdout));
  t.is(runs.length, 10);
  const absent = await predict('--against', path.join(results, 'nowhere'));
  t.is(absent.exitCode, 2);
  t.regex(absent.stderr, /^predict: cannot read the folder .*nowhere: ENOENT/);
  const none = await predict('--against', import.meta.dirname);
  t.is(none.exitCode, 2);
  t.regex(none.stderr, /^predict: no run that can be predicted in /);
});
