import test from 'ava';
import { z } from 'zod';
import { CodedError } from '../../foundation/coded-error.ts';
import { optionsSchema } from '../../experiments/configuration.ts';
import { matrixOptionsSchema } from '../../experiments/matrix.ts';
import { parseOptions } from './options.ts';

const parse = (...arguments_: string[]) => parseOptions('experiment', 'runs one', optionsSchema, arguments_);

test('reads options by the schema', (t) => {
  const options = parse('--scenario', 'ro', '--mem', '8', '--keep-on-failure', '--downtime-limit', '500');
  t.is(options?.scenario, 'ro');
  t.is(options?.mem, '8');
  t.true(options?.keepOnFailure);
  t.is(options?.downtimeLimit, 500);
  t.false(options?.json);
});

test('a wrong value names the option, the value and the valid ones', (t) => {
  const error = t.throws(() => parse('--scenario', 'write'), {
    instanceOf: CodedError,
    name: 'CommandError',
  });
  t.regex(error.message, /--scenario "write": valid: idle, ro, rw, tpcc/);
  t.regex(
    t.throws(() => parse('--threads', 'many')).message,
    /--threads "many": a whole number from 1 to 256/,
  );
});

test('an empty value is no value: an unset variable is not full speed', (t) => {
  for (const option of ['--rate', '--before', '--downtime-limit-max', '--out', '--inventory'])
    t.is(t.throws(() => parse(option, '')).message, `${option}: an empty value was given`);
});

test('a value is not given twice', (t) => {
  const matrix = (...arguments_: string[]) => parseOptions('matrix', '', matrixOptionsSchema, arguments_);
  t.regex(
    t.throws(() => matrix('--mems', '16', '16')).message,
    /^--mems \["16","16"\]: a value is given twice$/,
  );
  t.throws(() => matrix('--engines', 'precopy', 'precopy'));
  t.deepEqual(matrix('--mems', '16', '8')?.mems, ['16', '8']);
  t.regex(t.throws(() => matrix('--mems', '5')).message, /valid: 4, 8/);
});

test('--live stands alone or has a port', (t) => {
  t.is(parse()?.live, undefined);
  t.is(parse('--live', '--json')?.live, true);
  t.is(parse('--live', '8080')?.live, 8080);
  t.regex(t.throws(() => parse('--live', 'here')).message, /--live "here": a port from 1 to 65535/);
});

test('an unknown option lists the valid ones', (t) => {
  const error = t.throws(() => parse('--scenaro', 'rw'), { instanceOf: CodedError, name: 'CommandError' });
  t.regex(error.message, /--scenaro/);
  t.regex(error.message, /--scenario .*--mem/);
});

test('stray arguments are refused', (t) => {
  t.throws(() => parse('rw'), { instanceOf: CodedError, name: 'CommandError' });
});

test('a list may be given without an option', (t) => {
  const schema = z.object({ sets: z.array(z.string()).min(1), out: z.string('needed') });
  const merge = (...arguments_: string[]) => parseOptions('merge', 'joins', schema, arguments_, 'sets');
  t.deepEqual(merge('a', 'b', '--out', 'c'), { sets: ['a', 'b'], out: 'c' });
  t.regex(t.throws(() => merge('--out', 'c')).message, /missing required argument 'SET'/);
  t.is(t.throws(() => merge('a')).message, '--out: needed');
});
