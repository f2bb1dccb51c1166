import { chmodSync, closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { CodedError } from '../../foundation/coded-error.ts';
import type { GuestRam } from '../core/outside.ts';
import type { RamBlock } from '../stream/handler.ts';
import { type OpenGuestRam, openGuestRam, parseGuestRamPlace } from './guest-ram.ts';

const block = (name: string, lengthBytes: number): RamBlock => ({
  ...{ index: 0, name, lengthBytes, pageCount: lengthBytes / 4096 },
});
/** The only block of a VM. */
const blockOf = (source: OpenGuestRam, lengthBytes: number): GuestRam =>
  source.block(block('ram', lengthBytes), [block('ram', lengthBytes)]);

test('reads pages of a file', (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-ram-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const file = path.join(folder, 'ram');
  writeFileSync(file, Buffer.concat([1, 2, 3, 4].map((value) => Buffer.alloc(4096, value))));
  const source = openGuestRam([{ kind: 'file', path: file }]);
  const ram = blockOf(source, 4 * 4096);
  const into = Buffer.alloc(3 * 4096);
  ram.read(2, 2, into, 4096);
  t.deepEqual([into[0], into[4096], into[8191], into[8192], into[12287]], [0, 3, 3, 4, 4]);
  t.throws(
    () => {
      ram.read(3, 2, into, 0);
    },
    { instanceOf: CodedError, name: 'SourceError' },
  );
  t.throws(() => blockOf(source, 5 * 4096), { instanceOf: CodedError, name: 'SourceError' });
  source.close();
});

test('says what a place must look like', (t) => {
  t.deepEqual(parseGuestRamPlace('file:/dev/shm/x'), { kind: 'file', path: '/dev/shm/x' });
  t.deepEqual(parseGuestRamPlace('n0=file:/dev/shm/x'), { kind: 'file', path: '/dev/shm/x', block: 'n0' });
  t.deepEqual(parseGuestRamPlace('pid:12'), { kind: 'pid', pid: 12 });
  t.throws(() => parseGuestRamPlace('/dev/shm/x'), { instanceOf: CodedError, name: 'SourceError' });
});

test('a process without memory of that size is refused', (t) => {
  const own = openGuestRam([{ kind: 'pid', pid: process.pid }]);
  t.throws(() => blockOf(own, 12_345 * 4096 * 4096), { instanceOf: CodedError, name: 'SourceError' });
  own.close();
  t.throws(() => openGuestRam([{ kind: 'pid', pid: 0x7fff_fffe }]), {
    instanceOf: CodedError,
    name: 'SourceError',
  });
});

test('memory is read on when the file has no name any more, and is nobody else’s then', (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-ram-'));
  const file = path.join(folder, 'ram');
  writeFileSync(file, Buffer.alloc(4096, 7), { mode: 0o600 });
  const opened = (): boolean => {
    const ram = openGuestRam([{ kind: 'file', path: file }]);
    ram.close();
    return ram.readableByOthers.length > 0;
  };
  t.false(opened());
  for (const mode of [0o640, 0o604]) {
    chmodSync(file, mode);
    t.true(opened());
  }
  const ram = openGuestRam([{ kind: 'file', path: file }]);
  const fd = openSync(file, 'r');
  rmSync(folder, { recursive: true });
  const nameless = openGuestRam([{ kind: 'file', path: `/proc/self/fd/${fd}` }]);
  closeSync(fd);
  t.deepEqual(nameless.readableByOthers, []);
  for (const source of [ram, nameless]) {
    const into = Buffer.alloc(4096);
    blockOf(source, 4096).read(0, 1, into, 0);
    t.is(into[4095], 7);
    source.close();
  }
});

test('files are of the blocks that they are named for, or whose size they have', (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-ram-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const blocks = [block('n1', 3 * 4096), block('n0', 2 * 4096), block('dimm', 4096)];
  const place = (bytes: number, name?: string) => {
    const file = path.join(folder, String(bytes));
    writeFileSync(file, Buffer.alloc(bytes, bytes / 4096));
    return { kind: 'file', path: file, ...(name === undefined ? {} : { block: name }) } as const;
  };
  const firstBytes = (source: OpenGuestRam): unknown[] =>
    blocks.map((each) => {
      const into = Buffer.alloc(4096);
      try {
        source.block(each, blocks).read(0, 1, into, 0);
        return into[0];
      } catch {
        return undefined;
      }
    });
  const named = openGuestRam([place(3 * 4096, 'n1'), place(2 * 4096, 'n0')]);
  t.deepEqual(firstBytes(named), [3, 2, undefined]);
  named.close();
  // What is wrong with a block's own file is said, and not that the others' are none of its.
  const short = openGuestRam([place(3 * 4096, 'n1'), { ...place(4096), block: 'n0' }]);
  for (const [of, message] of [
    [blocks[1], /4096 has 4096 bytes, the RAM block has 8192/],
    [blocks[2], /^no --ram is given for it$/],
  ] as const)
    t.throws(() => of && short.block(of, blocks), { message });
  short.close();
  const alike = [block('n1', 2 * 4096), block('n0', 2 * 4096)];
  const other = { ...place(3 * 4096), block: 'n0' };
  const mixed = openGuestRam([place(2 * 4096), other]);
  const first = Buffer.alloc(4096);
  for (const [of, value] of [
    [alike[0], 2],
    [alike[1], 3],
  ] as const) {
    if (of !== undefined) mixed.block(of, alike).read(0, 1, first, 0);
    t.is(first[0], value, of?.name);
  }
  mixed.close();
  const alone = openGuestRam([place(2 * 4096)]);
  t.deepEqual(firstBytes(alone), [undefined, 2, undefined]);
  alone.close();
});
