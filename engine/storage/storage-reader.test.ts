import test from 'ava';
import { limitedReader, type StorageReader } from './storage-reader.ts';

function storage(): { reader: StorageReader; answer: (() => void)[]; reads: () => number } {
  const answer: (() => void)[] = [];
  let reads = 0;
  const reader: StorageReader = {
    sizeBytes: 4096,
    read: () => {
      reads += 1;
      return new Promise((resolve) => answer.push(resolve));
    },
    close: () => Promise.resolve(),
  };
  return { reader, answer, reads: () => reads };
}

test('a read that is answered is as it was', async (t) => {
  const { reader, answer } = storage();
  const read = limitedReader(reader, 60_000).read(Buffer.alloc(4096), 0);
  answer[0]?.();
  await t.notThrowsAsync(read);
});

test('a read that is not answered is given up, and so is the storage', async (t) => {
  const { reader, reads } = storage();
  const limited = limitedReader(reader, 10);
  const both = [limited.read(Buffer.alloc(4096), 0), limited.read(Buffer.alloc(4096), 4096)];
  for (const read of both)
    await t.throwsAsync(read, { code: 'no-answer', message: /not answered for 0.01 s/ });
  t.is(reads(), 2);
  await t.throwsAsync(limited.read(Buffer.alloc(4096), 0), { code: 'given-up' });
  t.is(reads(), 2, 'nothing more is asked of it');
});
