import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { StoredPages } from './stored-pages.ts';

const pageSize = 4096;
const pageOf = (byte: number): Uint8Array => new Uint8Array(pageSize).fill(byte);

test('a page is looked for in the file of its tablespace that has it', async (t) => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-stored-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const file = async (name: string, spaceId: number, firstPage: number, bytes: readonly number[]) => {
    await writeFile(path.join(folder, name), Buffer.concat(bytes.map(pageOf)));
    return {
      ...{ path: path.join(folder, name), spaceId, firstPage },
      ...{ pageSizeBytes: pageSize, excluded: undefined },
    };
  };
  const stored = new StoredPages([
    await file('ibdata1', 0, 0, [10, 11]),
    await file('ibdata2', 0, 2, [12]),
    await file('t1.ibd', 7, 0, [70, 71]),
    { ...(await file('dropped.ibd', 8, 0, [])), path: path.join(folder, 'gone.ibd') },
    { ...(await file('folder.ibd', 9, 0, [])), path: folder },
  ]);
  t.is(stored.has(0, 1, pageOf(11)), true);
  t.is(stored.has(0, 2, pageOf(12)), true);
  t.is(stored.has(7, 1, pageOf(71)), true);
  t.is(stored.has(7, 1, pageOf(70)), false);
  // Behind the file's end: the server has not written it yet.
  t.is(stored.has(7, 2, pageOf(0)), false);
  for (const spaceId of [8, 9, 10]) t.is(stored.has(spaceId, 0, pageOf(0)), undefined);
  stored.close();
});
