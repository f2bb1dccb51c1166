import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { openGuestRam, parseGuestRamPlace } from './guest-ram.ts';
import { SourceError } from './source-error.ts';

test('reads pages of a file', (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-ram-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const file = path.join(folder, 'ram');
  writeFileSync(file, Buffer.concat([1, 2, 3, 4].map((value) => Buffer.alloc(4096, value))));
  const ram = openGuestRam({ kind: 'file', path: file }, 4 * 4096);
  const into = Buffer.alloc(3 * 4096);
  ram.read(2, 2, into, 4096);
  t.deepEqual([into[0], into[4096], into[8191], into[8192], into[12287]], [0, 3, 3, 4, 4]);
  t.throws(
    () => {
      ram.read(3, 2, into, 0);
    },
    { instanceOf: SourceError },
  );
  ram.close();
  t.throws(() => openGuestRam({ kind: 'file', path: file }, 5 * 4096), { instanceOf: SourceError });
});

test('says what a place must look like', (t) => {
  t.deepEqual(parseGuestRamPlace('file:/dev/shm/x'), { kind: 'file', path: '/dev/shm/x' });
  t.deepEqual(parseGuestRamPlace('pid:12'), { kind: 'pid', pid: 12 });
  t.throws(() => parseGuestRamPlace('/dev/shm/x'), { instanceOf: SourceError });
});

test('a process without memory of that size is refused', (t) => {
  t.throws(() => openGuestRam({ kind: 'pid', pid: process.pid }, 12_345 * 4096 * 4096), {
    instanceOf: SourceError,
  });
  t.throws(() => openGuestRam({ kind: 'pid', pid: 0x7fff_fffe }, 4096), { instanceOf: SourceError });
});
