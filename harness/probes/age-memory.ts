/**
 * Runs in a guest that is made old (../run/age-guest.ts):
 *   node age-memory.mjs free     what is free has held something afterwards
 *   node age-memory.mjs tables   the page cache has the server's tables, as far as there is room, but for their pages of zeros,
 *                                of which small tables have many: they grow by megabytes
 */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const pageBytes = 4096;
const chunkBytes = 2 ** 20;
const zeros = Buffer.alloc(pageBytes);

/** Of what programs' files hold; free memory holds it many times. */
const contentChunks = 8;
/** Shorter ones are not worth a program's start. */
const minZeroBytes = 16 * pageBytes;

function meminfoBytes(name: string): number {
  const meminfo = readFileSync('/proc/meminfo', 'utf8');
  const [, kib = '0'] = new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(meminfo) ?? [];
  return Number(kib) * 1024;
}

const minimumFile = '/proc/sys/vm/min_free_kbytes';

/** Less is not free for long: below one and a half of its minimum the kernel takes pages back from the page cache (vm.rst). */
function isFull(): boolean {
  const minimumBytes = Number(readFileSync(minimumFile, 'utf8')) * 1024;
  return meminfoBytes('MemFree') < 1.5 * minimumBytes + meminfoBytes('MemTotal') / 200;
}

function filesBelow(folder: string, isWanted: (name: string) => boolean): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && isWanted(entry.name))
    .map((entry) => path.join(entry.parentPath, entry.name));
}

/** What one file holds, piece by piece, in a buffer that the next piece is read into. */
function* chunksOf(file: string): Generator<Buffer> {
  const buffer = Buffer.alloc(chunkBytes);
  const descriptor = openSync(file, 'r');
  try {
    for (;;) {
      const bytes = readSync(descriptor, buffer, 0, chunkBytes, null);
      if (bytes === 0) return;
      yield buffer.subarray(0, bytes);
    }
  } finally {
    closeSync(descriptor);
  }
}

const isZero = (chunk: Buffer, at: number): boolean => zeros.compare(chunk, at, at + pageBytes) === 0;

/** Pages that hold something. */
function programContent(): readonly Buffer[] {
  const chunks: Buffer[] = [];
  let pages: Buffer[] = [];
  for (const file of filesBelow('/usr/sbin', () => true))
    for (const chunk of chunksOf(file))
      for (let at = 0; at + pageBytes <= chunk.length; at += pageBytes) {
        if (isZero(chunk, at)) continue;
        pages.push(Buffer.from(chunk.subarray(at, at + pageBytes)));
        if (pages.length < chunkBytes / pageBytes) continue;
        chunks.push(Buffer.concat(pages));
        pages = [];
        if (chunks.length === contentChunks) return chunks;
      }
  return chunks;
}

/** Meanwhile: with transparent huge pages the kernel keeps some per cent of a small guest free, the same ones for good. */
const smallMinimumKib = 2048;

/** Writes what is free but for the kernel's reserve, and gives it back. */
function writeFreeMemory(): void {
  const content = programContent();
  const minimum = readFileSync(minimumFile, 'utf8');
  if (Number(minimum) > smallMinimumKib) writeFileSync(minimumFile, String(smallMinimumKib));
  try {
    const written: Buffer[] = [];
    while (!isFull()) {
      const chunk = Buffer.allocUnsafeSlow(chunkBytes);
      content[written.length % content.length]?.copy(chunk);
      written.push(chunk);
    }
  } finally {
    writeFileSync(minimumFile, minimum);
  }
}

/** In bytes of the file, [from, to). */
function zeroRanges(file: string): readonly (readonly [number, number])[] {
  const ranges: [number, number][] = [];
  let start = 0;
  for (const chunk of chunksOf(file)) {
    for (let at = 0; at + pageBytes <= chunk.length; at += pageBytes) {
      if (!isZero(chunk, at)) continue;
      const last = ranges.at(-1);
      if (last?.[1] === start + at) last[1] += pageBytes;
      else ranges.push([start + at, start + at + pageBytes]);
    }
    start += chunk.length;
  }
  return ranges.filter(([from, to]) => to - from >= minZeroBytes);
}

/** GNU dd has the page cache give back what it has read. */
function leaveOutOfCache(file: string, [from, to]: readonly [number, number]): void {
  const range = [`skip=${from}`, `count=${to - from}`, 'iflag=nocache,skip_bytes,count_bytes', 'bs=64k'];
  spawnSync('dd', [`if=${file}`, 'of=/dev/null', ...range]);
}

function readTables(): void {
  for (const file of filesBelow('/var/lib/mysql', (name) => name.endsWith('.ibd') || name === 'ibdata1')) {
    if (isFull()) return;
    for (const range of zeroRanges(file)) leaveOutOfCache(file, range);
  }
}

// By name: a process that ends gives all of its memory back at once.
if (process.argv.includes('free')) writeFreeMemory();
if (process.argv.includes('tables')) readTables();
