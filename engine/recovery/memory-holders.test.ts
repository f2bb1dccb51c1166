import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { identityOf, isAlive } from '../../foundation/process-identity.ts';
import { holdersOf } from './memory-holders.ts';

test('a program is in the memory of the process that runs it', (t) => {
  const own = holdersOf(process.execPath).find(({ pid }) => pid === process.pid);
  t.deepEqual(own, identityOf(process.pid));
  t.true(own !== undefined && isAlive(own));
  t.false(isAlive({ pid: process.pid, startTime: '1' }));
});

test('a file that nobody has in memory has no holder, whatever is in its name', (t) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'poolshift-holders-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const file = path.join(folder, 'ram (1) [x]+');
  writeFileSync(file, 'x');
  t.deepEqual(holdersOf(file), []);
});
