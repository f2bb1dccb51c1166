/** The program as it runs on a host. */
import { execFile } from 'node:child_process';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';

test('pages of zeros are counted, holes among them', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'zero-pages-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const file = path.join(folder, 'ram');
  const ram = await open(file, 'w');
  // More than one read of the program's.
  const pages = 1500;
  await ram.truncate(pages * 4096);
  for (const at of [0, 3 * 4096 - 1, 1400 * 4096 + 17]) await ram.write(Buffer.of(1), 0, 1, at);
  await ram.write(Buffer.alloc(4096), 0, 4096, 7 * 4096);
  await ram.close();
  const program = path.join(import.meta.dirname, 'zero-pages.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [program, file]);
  t.deepEqual(JSON.parse(stdout), { pages, zero_pages: pages - 3 });
});
