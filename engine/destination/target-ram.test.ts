import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { openTargetRam, parseTargetRamPlace } from './target-ram.ts';

const unusable = { code: 'target-ram', name: 'DestinationError' };

test('says what a place must look like', (t) => {
  t.deepEqual(parseTargetRamPlace('auto'), { kind: 'auto' });
  t.deepEqual(parseTargetRamPlace('none'), { kind: 'none' });
  t.deepEqual(parseTargetRamPlace('file:/dev/shm/x'), { kind: 'file', path: '/dev/shm/x' });
  t.deepEqual(parseTargetRamPlace('pid:12'), { kind: 'pid', pid: 12 });
  t.throws(() => parseTargetRamPlace('/dev/shm/x'), {
    ...unusable,
    message: /auto, none, file:PATH and pid:/,
  });
});

test('writes pages of a file, and none beyond it', (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-ram-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const file = path.join(folder, 'ram');
  writeFileSync(file, Buffer.alloc(4 * 4096));
  const source = openTargetRam({ kind: 'file', path: file }, '');
  const ram = source.block(4 * 4096);
  ram.write(1, 2, Buffer.concat([1, 2, 3].map((value) => Buffer.alloc(4096, value))), 4096);
  const into = Buffer.alloc(4096);
  ram.read(2, 1, into, 0);
  t.is(into[4095], 3);
  t.deepEqual(
    [0, 1, 2, 3].map((page) => readFileSync(file)[page * 4096]),
    [0, 2, 3, 0],
  );
  t.throws(() => source.block(5 * 4096), {
    ...unusable,
    message: /has 16384 bytes, the RAM block has 20480/,
  });
  source.close();
});

test('what cannot be opened or found is a reason, not a failure of the migration', (t) => {
  t.throws(() => openTargetRam({ kind: 'file', path: '/nowhere/ram' }, ''), unusable);
  t.throws(() => openTargetRam({ kind: 'pid', pid: 0x7fff_fffe }, ''), unusable);
  t.throws(() => openTargetRam({ kind: 'auto' }, '/nowhere/incoming'), unusable);
  const own = openTargetRam({ kind: 'pid', pid: process.pid }, '');
  t.throws(() => own.block(12_345 * 4096 * 4096), { ...unusable, message: /has 0 mappings/ });
  own.close();
});

test('a target that is gone ends the migration', (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-ram-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const file = path.join(folder, 'ram');
  writeFileSync(file, Buffer.alloc(4096));
  const source = openTargetRam({ kind: 'file', path: file }, '');
  const ram = source.block(4096);
  writeFileSync(file, '');
  t.throws(
    () => {
      ram.read(0, 1, Buffer.alloc(4096), 0);
    },
    { code: 'target-failed', message: /is gone/ },
  );
  source.close();
});
