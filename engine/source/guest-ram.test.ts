import { chmodSync, closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { CodedError } from '../../foundation/coded-error.ts';
import { openGuestRam, parseGuestRamPlace } from './guest-ram.ts';

test('reads pages of a file', (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-ram-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const file = path.join(folder, 'ram');
  writeFileSync(file, Buffer.concat([1, 2, 3, 4].map((value) => Buffer.alloc(4096, value))));
  const source = openGuestRam({ kind: 'file', path: file });
  const ram = source.block(4 * 4096);
  const into = Buffer.alloc(3 * 4096);
  ram.read(2, 2, into, 4096);
  t.deepEqual([into[0], into[4096], into[8191], into[8192], into[12287]], [0, 3, 3, 4, 4]);
  t.throws(
    () => {
      ram.read(3, 2, into, 0);
    },
    { instanceOf: CodedError, name: 'SourceError' },
  );
  t.throws(() => source.block(5 * 4096), { instanceOf: CodedError, name: 'SourceError' });
  source.close();
});

test('says what a place must look like', (t) => {
  t.deepEqual(parseGuestRamPlace('file:/dev/shm/x'), { kind: 'file', path: '/dev/shm/x' });
  t.deepEqual(parseGuestRamPlace('pid:12'), { kind: 'pid', pid: 12 });
  t.throws(() => parseGuestRamPlace('/dev/shm/x'), { instanceOf: CodedError, name: 'SourceError' });
});

test('a process without memory of that size is refused', (t) => {
  const own = openGuestRam({ kind: 'pid', pid: process.pid });
  t.throws(() => own.block(12_345 * 4096 * 4096), { instanceOf: CodedError, name: 'SourceError' });
  own.close();
  t.throws(() => openGuestRam({ kind: 'pid', pid: 0x7fff_fffe }), {
    instanceOf: CodedError,
    name: 'SourceError',
  });
});

test('memory is read on when the file has no name any more, and is nobody else’s then', (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-ram-'));
  const file = path.join(folder, 'ram');
  writeFileSync(file, Buffer.alloc(4096, 7), { mode: 0o600 });
  const opened = (): boolean => {
    const ram = openGuestRam({ kind: 'file', path: file });
    ram.close();
    return ram.readableByOthers;
  };
  t.false(opened());
  for (const mode of [0o640, 0o604]) {
    chmodSync(file, mode);
    t.true(opened());
  }
  const ram = openGuestRam({ kind: 'file', path: file });
  const fd = openSync(file, 'r');
  rmSync(folder, { recursive: true });
  const nameless = openGuestRam({ kind: 'file', path: `/proc/self/fd/${fd}` });
  closeSync(fd);
  t.false(nameless.readableByOthers);
  for (const source of [ram, nameless]) {
    const into = Buffer.alloc(4096);
    source.block(4096).read(0, 1, into, 0);
    t.is(into[4095], 7);
    source.close();
  }
});
