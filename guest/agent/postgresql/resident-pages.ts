/**
 * Shared memory has no place in a process's page table until that process has used it: the postmaster has used none of the blocks,
 * and whoever did may be gone. Reading a byte through /proc/PID/mem puts a page there, where /proc/PID/pagemap says its frame.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { pageSizeBytes } from '../../../engine/list/page-list.ts';
import { systemErrorCode } from '../guest-error.ts';
import { openOrExplain, type Memory } from '../process-memory.ts';

const entryBytes = 8;
/** In the upper half of an entry: present in RAM. */
const presentBit = 0x8000_0000;
/** The kernel puts the pages around a touched one there, too (fault_around_bytes). */
const aroundPages = 16;
const windowPages = 64 * 1024;

/** What a process's page table has, by windows of it. */
export class PageTable {
  readonly #descriptor: number;
  /** Entries from page `first` on, two words each; as they were when they were read. */
  readonly entries = new Uint32Array(windowPages * 2);
  first = 0;
  count = 0;

  /** @throws GuestError as readMappings */
  constructor(pid: number) {
    this.#descriptor = openOrExplain(pid, () => openSync(`/proc/${pid}/pagemap`, 'r'));
  }

  /** Reads the window that begins with a page, by its number. */
  read(first: number): void {
    this.first = first;
    this.count = 0;
    try {
      const bytes = new Uint8Array(this.entries.buffer);
      const read = readSync(this.#descriptor, bytes, 0, bytes.length, first * entryBytes);
      this.count = Math.floor(read / entryBytes);
    } catch (error) {
      // Beyond the end of the address space, or the memory map is gone with its process.
      if (systemErrorCode(error) === undefined) throw error;
    }
  }

  /** Whether any page of a range of addresses is there. */
  hasAny(start: number, end: number): boolean {
    const last = Math.floor((end - 1) / pageSizeBytes);
    for (let page = Math.floor(start / pageSizeBytes); page <= last;) {
      if (page < this.first || page >= this.first + this.count) this.read(page);
      if (this.count === 0) return false;
      const until = Math.min(last + 1, this.first + this.count);
      if (anyPresent(this.entries, page - this.first, until - this.first)) return true;
      page = until;
    }
    return false;
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

function anyPresent(entries: Uint32Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (((entries[at * 2 + 1] ?? 0) & presentBit) !== 0) return true;
  return false;
}

/** Has the pages of blocks in the process's page table. @param addresses of blocks, ascending */
export function touchPages(
  memory: Memory,
  table: PageTable,
  addresses: Float64Array,
  blockBytes: number,
): void {
  // Most come with one of their neighbours; those that did not are touched one by one.
  for (const around of [aroundPages, 1])
    if (!touchAbsent(memory, table, addresses, blockBytes, around)) return;
}

/** @returns whether any page was absent */
function touchAbsent(
  memory: Memory,
  table: PageTable,
  addresses: Float64Array,
  blockBytes: number,
  around: number,
): boolean {
  const byte = new Uint8Array(1);
  const pagesPerBlock = blockBytes / pageSizeBytes;
  const end = addresses.length * pagesPerBlock;
  const pageAt = (index: number): number =>
    (addresses[Math.floor(index / pagesPerBlock)] ?? 0) / pageSizeBytes + (index % pagesPerBlock);
  let hadAbsent = false;
  table.read(pageAt(0));
  for (let index = 0; index < end;) {
    const { entries, first, count } = table;
    index = nextAbsent(entries, first, count, addresses, pagesPerBlock, index, end);
    if (index === end) break;
    const page = pageAt(index);
    if (page >= first && page < first + count) {
      hadAbsent = true;
      memory.read(page * pageSizeBytes, byte);
      const group = Math.floor(page / around);
      while (index < end && Math.floor(pageAt(index) / around) === group) index++;
      continue;
    }
    table.read(page);
    // No memory any more.
    if (table.count === 0) index++;
  }
  return hadAbsent;
}

/**
 * The next page of the blocks from `index` on, counted in pages, that is absent or lies beyond the window; `end` if none does.
 * Numbers and typed arrays alone (page-runs.ts says why).
 */
function nextAbsent(
  entries: Uint32Array,
  first: number,
  count: number,
  addresses: Float64Array,
  pagesPerBlock: number,
  index: number,
  end: number,
): number {
  for (let next = index; next < end; next++) {
    const block = Math.floor(next / pagesPerBlock);
    const at = (addresses[block] ?? 0) / pageSizeBytes + next - block * pagesPerBlock - first;
    if (at < 0 || at >= count || ((entries[at * 2 + 1] ?? 0) & presentBit) === 0) return next;
  }
  return end;
}
