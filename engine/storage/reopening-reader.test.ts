import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { allocateAligned, openFileStorage } from './file-storage.ts';
import { reopeningReader } from './reopening-reader.ts';
import type { StorageReader } from './storage-reader.ts';

const blockBytes = 4096;

async function firstByte(reader: StorageReader): Promise<number | undefined> {
  const into = allocateAligned(blockBytes);
  await reader.read(into, 0);
  return into[0];
}

test('storage is opened anew when its version changes, and now and then where nobody tells it', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-reopening-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  // Whoever has the file open keeps the one before.
  const replace = (file: string, byte: number): void => {
    writeFileSync(`${file}.new`, Buffer.alloc(blockBytes, byte));
    renameSync(`${file}.new`, file);
  };
  let version: string | undefined;
  for (const [name, versions] of [
    ['told', ['1', '2']],
    ['not told', [undefined, undefined]],
  ] as const) {
    const file = path.join(folder, name);
    replace(file, 1);
    version = versions[0];
    const reader = await reopeningReader({
      open: () => openFileStorage(file),
      version: () => Promise.resolve(version),
    });
    t.is(await firstByte(reader), 1);
    replace(file, 2);
    if (version !== undefined) t.is(await firstByte(reader), 1);
    version = versions[1];
    // Opening anew has its share of the time.
    let byte: number | undefined;
    do byte = await firstByte(reader);
    while (byte === 1);
    t.is(byte, 2);
    await reader.close();
  }
});
