/**
 * Writes pages straight into the target's memory, where that may be done, rather than through its loader, which costs several
 * times as much. Whatever it does not take goes into the stream (docs/engine-design.md, Placement).
 *
 *   checking --PONG: the samples are there--> placing
 *      | \----PONG: they are not-------------> off
 *      +------no return path at RAM's first record, no access----> off (never begun)
 */
import { pageSizeBytes } from '../list/page-list.ts';
import type { TargetRam } from './outside.ts';
import { PageFence } from './page-fence.ts';

/**
 * Records with content that are watched before the first page is placed. The wrong memory (another VM's, a private mapping's
 * file, the source's own) must not be taken for the target's: a sample counts if the memory did not hold its content before the
 * record was handed on, and it must hold it when the PONG has come.
 */
const samplePages = 8;
/** Of those, so many must be left at the PONG: one of which a newer record has come by then says nothing. */
const minSamplesLeft = 4;
/** Records that are looked at to find them: memory that has all of them already is the source's own, or a copy of it. */
const maxLooks = 4096;
/** PINGs of ours: QEMU's have small numbers (migration/savevm.h, QEMU_VM_PING_PACKAGED_LOADED). */
const firstPing = 0x706f0000;
const pings = 0x10000;
/** Pages that are written at once. */
const stagingPages = 64;

const zeros = Buffer.alloc(pageSizeBytes);

/** What becomes of it. */
interface PlacementReports {
  begins(): void;
  /** Nothing is placed any more. */
  ends(reason: string): void;
}

export class Placement {
  /** Pages written here, counted each time. */
  placedPages = 0;
  readonly #ram: TargetRam;
  readonly #reports: PlacementReports;
  readonly #fence: PageFence;
  #state: 'checking' | 'placing' | 'off' = 'checking';
  readonly #samples = new Map<number, Buffer>();
  readonly #page = Buffer.allocUnsafe(pageSizeBytes);
  #looks = 0;
  #pings = 0;
  #awaitedPing: number | undefined;
  readonly #staging = Buffer.allocUnsafeSlow(stagingPages * pageSizeBytes);
  #stagedPages = 0;
  /** Pages that follow one another, in memory and in `buffer`, and are not written yet. */
  #run:
    { readonly buffer: Buffer; readonly offset: number; readonly page: number; count: number } | undefined;

  /** @param ram memory of the one RAM block whose pages are told */
  constructor(ram: TargetRam, pageCount: number, reports: PlacementReports) {
    this.#ram = ram;
    this.#reports = reports;
    this.#fence = new PageFence(pageCount);
  }

  /**
   * A record of a page with content, which stands at `offset` in `buffer`. Returns whether it was taken: then it must not go
   * into the stream; else it must, and is told by this call.
   *
   * @throws CodedError 'destination', 'target-failed' if the memory cannot be written
   */
  takeRecord(page: number, buffer: Buffer, offset: number): boolean {
    if (!this.#mayPlace(page)) {
      this.#forwardContent(page, buffer, offset);
      return false;
    }
    if (this.#stagedPages === stagingPages || this.#run?.buffer !== this.#staging) this.flush();
    const at = this.#stagedPages * pageSizeBytes;
    buffer.copy(this.#staging, at, offset, offset + pageSizeBytes);
    this.#add(page, this.#staging, at);
    this.#stagedPages += 1;
    return true;
  }

  /** As `takeRecord`; what stands in `buffer` must stay until `flush`. */
  takeRestored(page: number, buffer: Buffer, offset: number): boolean {
    if (!this.#mayPlace(page)) {
      this.#forwardContent(page, buffer, offset);
      return false;
    }
    this.#add(page, buffer, offset);
    return true;
  }

  /** As `takeRecord`, for a page of zeros. Most are zeros already, of memory that was never written and need not be. */
  takeZeros(page: number): boolean {
    if (!this.#mayPlace(page)) {
      this.forward(page);
      return false;
    }
    this.flush();
    this.#ram.read(page, 1, this.#page, 0);
    if (!this.#page.equals(zeros)) this.#ram.write(page, 1, zeros, 0);
    return true;
  }

  /**
   * A record of another kind goes into the stream (a difference from what is in memory), which the target loads later. EVERY record
   * of the block's pages that is handed on must be told here, or by the calls above: the fence knows no other.
   */
  forward(page: number): void {
    // What was placed before it must be there before it is.
    if (this.#run !== undefined && page >= this.#run.page && page < this.#run.page + this.#run.count)
      this.flush();
    this.#samples.delete(page);
    this.#fence.forward(page);
  }

  /** Writes what was taken. To be called before the buffers of restored pages are used again, and before this moment is over. */
  flush(): void {
    const run = this.#run;
    this.#run = undefined;
    this.#stagedPages = 0;
    if (run === undefined) return;
    this.#ram.write(run.page, run.count, run.buffer, run.offset);
  }

  /** Whether a PING should go into the stream. */
  get wantsPing(): boolean {
    switch (this.#state) {
      case 'checking':
        return this.#awaitedPing === undefined && this.#samples.size >= samplePages;
      case 'placing':
        return this.#fence.wantsPing;
      case 'off':
        return false;
    }
  }

  /** A PING goes into the stream now, with this value. */
  ping(): number {
    this.#fence.ping();
    this.#awaitedPing = firstPing + this.#pings;
    this.#pings = (this.#pings + 1) % pings;
    return this.#awaitedPing;
  }

  /** A PONG has come. Returns whether its PING was one of this class, which the source's QEMU has not sent. */
  pong(value: number): boolean {
    if (value === this.#awaitedPing) {
      this.#awaitedPing = undefined;
      this.#fence.pong();
      if (this.#state === 'checking') this.#judge();
    }
    return value >= firstPing && value < firstPing + pings;
  }

  #mayPlace(page: number): boolean {
    return this.#state === 'placing' && this.#fence.isFree(page);
  }

  #add(page: number, buffer: Buffer, offset: number): void {
    const run = this.#run;
    this.placedPages += 1;
    if (
      run?.buffer === buffer &&
      page === run.page + run.count &&
      offset === run.offset + run.count * pageSizeBytes
    ) {
      run.count += 1;
      return;
    }
    if (run !== undefined) this.#ram.write(run.page, run.count, run.buffer, run.offset);
    this.#run = { buffer, offset, page, count: 1 };
  }

  #forwardContent(page: number, buffer: Buffer, offset: number): void {
    this.forward(page);
    if (this.#state !== 'checking' || this.#awaitedPing !== undefined || this.#samples.size >= samplePages)
      return;
    this.#looks += 1;
    if (this.#looks > maxLooks) this.#end('what was found as its memory holds already what is sent');
    this.#ram.read(page, 1, this.#page, 0);
    if (buffer.compare(this.#page, 0, pageSizeBytes, offset, offset + pageSizeBytes) === 0) return;
    this.#samples.set(page, Buffer.from(buffer.subarray(offset, offset + pageSizeBytes)));
  }

  #end(reason: string): void {
    this.#state = 'off';
    this.#reports.ends(reason);
  }

  #judge(): void {
    const left = this.#samples.size;
    let equal = 0;
    for (const [page, content] of this.#samples) {
      this.#ram.read(page, 1, this.#page, 0);
      if (this.#page.equals(content)) equal += 1;
    }
    this.#samples.clear();
    if (equal < left) {
      this.#end('what was found as its memory is not what the target QEMU loads into');
    } else if (left >= minSamplesLeft) {
      this.#state = 'placing';
      this.#reports.begins();
    }
  }
}
