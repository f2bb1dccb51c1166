/**
 * Counts the pages of a VM's RAM file that hold nothing but zeros. Runs on the VM's host:
 *   node zero-pages.js FILE
 * prints `{"pages":…,"zero_pages":…}`. A hole is zeros, and stays one.
 */
import { open } from 'node:fs/promises';

const pageBytes = 4096;
const chunkBytes = 1024 * pageBytes;

const [, , file = ''] = process.argv;
const chunk = Buffer.alloc(chunkBytes);
const zeros = Buffer.alloc(pageBytes);
const ram = await open(file, 'r');
let pages = 0;
let zeroPages = 0;
for (;;) {
  const { bytesRead } = await ram.read(chunk, 0, chunkBytes, pages * pageBytes);
  for (let offset = 0; offset + pageBytes <= bytesRead; offset += pageBytes, pages += 1)
    if (zeros.compare(chunk, offset, offset + pageBytes) === 0) zeroPages += 1;
  if (bytesRead < chunkBytes) break;
}
await ram.close();
console.log(JSON.stringify({ pages, zero_pages: zeroPages }));
