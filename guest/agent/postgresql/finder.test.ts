import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Deadline } from '../deadline.ts';
import type { Memory } from '../process-memory.ts';
import { listBuffers, PostgresqlFinder } from './finder.ts';
import { blockBytes, pageChecksum } from './page-format.ts';

/** x86-64's mmap and read: 16 MiB of shared memory, all of it used. */
const shareMemory = `
  open(my $random, '<', '/dev/urandom');
  my $address = syscall(9, 0, 16 << 20, 3, 0x21, -1, 0);
  syscall(0, fileno($random), $address, 16 << 20);
  $| = 1; print "ready"; sleep 60;
`;

test('a search for shared buffers ends with its time', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'postgresql-'));
  writeFileSync(join(folder, 'PG_VERSION'), '17\n');
  const path = join(folder, 'postgres');
  copyFileSync('/usr/bin/perl', path);
  const server = spawn(path, ['-e', shareMemory], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => {
    server.kill();
    rmSync(folder, { recursive: true });
  });
  await once(server.stdout, 'data');
  const program = (await new PostgresqlFinder().programs()).find(({ pid }) => pid === server.pid);
  await t.throwsAsync(async () => program?.findPages(new Deadline(60_000)), { code: 'unknown-layout' });
  let nowMs = 0;
  await t.throwsAsync(async () => program?.findPages(new Deadline(10, () => nowMs++)), { code: 'too-slow' });
});

const base = 0x7f00_0000_0000;

type Change = (block: Buffer, index: number) => void;

/** Shared memory with the blocks of one table, and the table's file. `change` is given each buffer, as it was read or changed before. */
function serverOf(
  t: ExecutionContext,
  { count = 100, hasChecksums = true, usedOften = (_index: number): boolean => false } = {},
): {
  readonly change: (each: Change) => void;
  readonly list: (deadline?: Deadline) => ReturnType<typeof listBuffers>;
} {
  const path = mkdtempSync(join(tmpdir(), 'postgresql-'));
  t.teardown(() => {
    rmSync(path, { recursive: true });
  });
  const blocksAt = Math.ceil((count * 64) / 4096) * 4096;
  const bytes = Buffer.alloc(blocksAt + count * blockBytes);
  const state = new Uint32Array(32);
  for (let index = 0; index < count; index++) {
    const flags = (1 << 24) | (1 << 25) | (usedOften(index) ? 4 << 18 : 0);
    for (const [word, value] of [1663, 5, 16384, 0, index, index, flags].entries())
      bytes.writeUInt32LE(value, index * 64 + word * 4);
    const words = new Uint32Array(blockBytes / 4).fill(0x6162_0100 + index);
    const block = Buffer.from(words.buffer);
    for (const [word, value] of [24, 24, 8192, 0x2004].entries()) block.writeUInt16LE(value, 12 + word * 2);
    block.writeUInt16LE(hasChecksums ? pageChecksum(words, index, state) : 0, 8);
    block.copy(bytes, blocksAt + index * blockBytes);
  }
  mkdirSync(join(path, 'base', '5'), { recursive: true });
  writeFileSync(join(path, 'base', '5', '16384'), bytes.subarray(blocksAt));
  const memory: Memory = {
    read: (address, into) => bytes.copy(into, 0, address - base, address - base + into.length),
  };
  const directory = { path, majorVersion: '18', within: (inside: string) => inside };
  const known = {
    layout: { descriptors: base, count, blocks: base + blocksAt },
    hasChecksums: undefined,
  };
  return {
    change: (each) => {
      for (let index = 0; index < count; index++) {
        const at = blocksAt + index * blockBytes;
        each(bytes.subarray(at, at + blockBytes), index);
      }
    },
    list: (deadline = new Deadline(60_000)) =>
      listBuffers({ pid: process.pid, directory }, memory, known, deadline),
  };
}

test('a server with checksums: pages that have theirs are listed, others are not', (t) => {
  const { list, change } = serverOf(t, { usedOften: (index) => index % 3 === 0 });
  change((block, index) => {
    if (index % 4 === 0) block.writeUInt16LE(0, 8);
  });
  const pages = list();
  t.is(pages.count, 75);
  t.deepEqual(
    [...pages.cold],
    [...pages.page].map((page) => (page % 3 === 0 ? 0 : 1)),
  );
  t.deepEqual(pages.leftOut, { 'stale-checksum': 50 });
});

test('pages whose checksums are not looked at in time are left out, and the others are listed', (t) => {
  const { list } = serverOf(t);
  let nowMs = 0;
  // A look at the clock takes a millisecond, for each page.
  const pages = list(new Deadline(60, () => nowMs++));
  t.true(pages.count > 20 && pages.count < 60, String(pages.count));
  t.deepEqual(pages.leftOut, { 'not-in-time': 2 * (100 - pages.count) });
  t.deepEqual([...pages.page], [...pages.page.keys()]);
  t.is(pages.server.cachedPages, 100);
});

test('a standby, whose clean buffers have other hints than their files, is no unknown layout', (t) => {
  const { list, change } = serverOf(t);
  change((block, index) => {
    // t_infomask of some tuple gets HEAP_XMIN_COMMITTED.
    if (index % 10 !== 0) block.writeUInt8(block.readUInt8(4002) | 1, 4002);
  });
  const pages = list();
  t.deepEqual([...pages.page], [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
  t.deepEqual(pages.leftOut, { 'stale-checksum': 180 });
});

test('a standby without checksums: pages are listed as long as most have the hints of their files', (t) => {
  let changed = 20;
  const { list, change } = serverOf(t, { hasChecksums: false });
  const setHints = (block: Buffer, index: number): void => {
    if (index < changed) block.writeUInt8(block.readUInt8(4002) | 1, 4002);
  };
  change(setHints);
  t.is(list().count, 100);
  changed = 80;
  change(setHints);
  const pages = list();
  t.is(pages.count, 0);
  t.deepEqual(pages.leftOut, { 'unmarked-hints': 200 });
});

test('buffers that hold other pages than they seem to are an unknown layout', (t) => {
  const { list, change } = serverOf(t);
  change((block) => {
    // Another version of the page: its LSN.
    block.writeUInt32LE(77, 4);
  });
  t.throws(() => list(), { code: 'unknown-layout' });
});
