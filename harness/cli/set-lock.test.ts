import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
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

test('a set that a link leads to is the same, also before it is there', async (t) => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-set-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const place = path.join(folder, 'place');
  await mkdir(place);
  await symlink(place, path.join(folder, 'link'));
  const [set, other] = [path.join(place, 'set'), path.join(folder, 'link', 'set')];
  const lock = await holdSet(set);
  t.teardown(() => lock.release());
  await t.throwsAsync(holdSet(other), { message: /writes into it/ });
  await mkdir(set);
  await symlink(set, path.join(folder, 'shown'));
  await t.throwsAsync(holdSet(path.join(folder, 'shown')), { message: /writes into it/ });
});
