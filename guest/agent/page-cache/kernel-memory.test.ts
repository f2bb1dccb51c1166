import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { KernelMemory } from './kernel-memory.ts';

interface Segment {
  readonly address: bigint;
  readonly bytes: bigint;
  readonly physical?: bigint;
  readonly content?: string;
}

/** A file of the form of /proc/kcore, of which only the given content is there. */
async function open(t: ExecutionContext, segments: readonly Segment[]): Promise<KernelMemory> {
  const folder = await mkdtemp(path.join(tmpdir(), 'poolshift-kcore-'));
  const header = Buffer.alloc(64);
  header.write('\x7fELF', 'latin1');
  header.writeBigUInt64LE(64n, 32);
  header.writeUInt16LE(segments.length, 56);
  const table = Buffer.alloc(segments.length * 56);
  const contents: Buffer[] = [];
  let offset = header.length + table.length;
  for (const [index, { address, bytes, physical, content = '' }] of segments.entries()) {
    const at = index * 56;
    table.writeUInt32LE(1, at);
    table.writeBigUInt64LE(BigInt(offset), at + 8);
    table.writeBigUInt64LE(address, at + 16);
    table.writeBigUInt64LE(physical ?? 2n ** 64n - 1n, at + 24);
    table.writeBigUInt64LE(bytes, at + 40);
    contents.push(Buffer.from(content));
    offset += content.length;
  }
  const file = path.join(folder, 'kcore');
  await writeFile(file, Buffer.concat([header, table, ...contents]));
  const memory = new KernelMemory(file);
  t.teardown(async () => {
    memory.close();
    await rm(folder, { recursive: true });
  });
  return memory;
}

const direct = 0xffff_8880_0000_0000n;
const array = 0xffff_ea00_0000_0000n;

test('addresses are read where their segment lies in the file', async (t) => {
  const memory = await open(t, [
    { address: array, bytes: 4n, content: 'abcd' },
    { address: direct, bytes: 4n, physical: 0n, content: 'efgh' },
  ]);
  const into = Buffer.alloc(8);
  t.is(memory.read(direct + 1n, into), 3);
  t.is(into.toString('latin1', 0, 3), 'fgh');
  t.is(memory.read(array, into.subarray(0, 2)), 2);
  t.is(into.toString('latin1', 0, 2), 'ab');
  t.is(memory.read(direct + 4n, into), 0);
});

test('the descriptions of frames begin where the segment that is as long as those of the first stretch does', async (t) => {
  // As a guest of 256 MiB shows them.
  const memory = await open(t, [
    { address: 0xffff_ffff_8100_0000n, bytes: 0x2c0_0000n, physical: 0x100_0000n },
    { address: 0xffff_c900_0000_0000n, bytes: 2n ** 45n },
    { address: direct + 0x1000n, bytes: 0x9e000n, physical: 0x1000n },
    { address: array, bytes: 0x3000n },
    { address: direct + 0x10_0000n, bytes: 0xfed_d000n, physical: 0x10_0000n },
    { address: array + 0x4000n, bytes: 0x3f_8000n },
  ]);
  t.deepEqual(memory.frameDescriptions(64), [
    { firstFrame: 1, endFrame: 0x9f, address: array + 64n },
    { firstFrame: 0x100, endFrame: 0xffdd, address: array + 0x4000n },
  ]);
});

test('a kernel that shows no descriptions is said to be one', async (t) => {
  const memory = await open(t, [{ address: direct, bytes: 0x100_0000n, physical: 0n }]);
  t.throws(() => memory.frameDescriptions(64), {
    message: /does not show how the kernel describes page frames/,
  });
  t.throws(() => new KernelMemory('/nowhere/kcore'), { message: /cannot be read/ });
});
