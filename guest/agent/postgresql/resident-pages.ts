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

/** Whether pages are in a process's page table. */
export class PresentPages {
  readonly #descriptor: number;
  readonly #window = new Uint32Array(windowPages * 2);
  #start = 0;
  #count = 0;

  /** @throws GuestError as readMappings */
  constructor(pid: number) {
    this.#descriptor = openOrExplain(pid, () => openSync(`/proc/${pid}/pagemap`, 'r'));
  }

  /** Of a page by its address; as it was when its window was read. */
  has(address: number): boolean {
    const page = Math.floor(address / pageSizeBytes);
    if (page < this.#start || page >= this.#start + this.#count) this.#read(page);
    const upper = this.#window[(page - this.#start) * 2 + 1] ?? 0;
    return page < this.#start + this.#count && (upper & presentBit) !== 0;
  }

  hasAny(start: number, end: number): boolean {
    for (let address = start; address < end; address += pageSizeBytes) if (this.has(address)) return true;
    return false;
  }

  /** Has the next has() look again. */
  forget(): void {
    this.#count = 0;
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #read(page: number): void {
    this.#start = page;
    this.#count = 0;
    try {
      const bytes = new Uint8Array(this.#window.buffer);
      const read = readSync(this.#descriptor, bytes, 0, bytes.length, page * entryBytes);
      this.#count = Math.floor(read / entryBytes);
    } catch (error) {
      // Beyond the end of the address space, or the memory map is gone with its process.
      if (systemErrorCode(error) === undefined) throw error;
    }
  }
}

/** Has the pages of blocks in the process's page table. @param addresses of blocks, ascending */
export function touchPages(
  memory: Memory,
  present: PresentPages,
  addresses: Float64Array,
  blockBytes: number,
): void {
  const byte = new Uint8Array(1);
  // Most come with one of their neighbours; those that did not are touched one by one.
  for (const aroundBytes of [aroundPages * pageSizeBytes, pageSizeBytes]) {
    let touched = -1;
    present.forget();
    for (const first of addresses)
      for (let address = first; address < first + blockBytes; address += pageSizeBytes) {
        const around = Math.floor(address / aroundBytes);
        if (around === touched || present.has(address)) continue;
        memory.read(address, byte);
        touched = around;
      }
  }
}
