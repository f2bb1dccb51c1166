import test from 'ava';
import { CodedError } from '../../foundation/coded-error.ts';
import { holdSet } from './set-lock.ts';

test('a set is one command’s, by whatever path it is named, until that ends', async (t) => {
  const set = `results/locked-${process.pid}`;
  const lock = await holdSet(set);
  await t.throwsAsync(holdSet(`./results/../${set}`), {
    instanceOf: CodedError,
    name: 'CommandError',
    message: new RegExp(`process ${process.pid}\\) writes into it`),
  });
  await lock.release();
  await (await holdSet(set)).release();
});
