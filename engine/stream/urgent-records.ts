/**
 * What QEMU sends on the second connection of post-copy with preemption: records of pages that the target's VM waits for, then an
 * end-of-section record (migration/ram.c, ram_save_host_page_urgent and postcopy_preempt_shutdown_file).
 */
import { CodedError } from '../../foundation/coded-error.ts';
import { FilteredOutput } from './filtered-output.ts';
import type { StreamHandler } from './handler.ts';
import { PageRecords } from './page-records.ts';
import type { RamBlocks } from './ram-blocks.ts';
import { ramFlag, shortHeaderBytes } from './records.ts';

export class UrgentRecords {
  readonly #records: PageRecords;
  readonly #output = new FilteredOutput(() => undefined);
  #rest: Buffer = Buffer.alloc(0);
  #ended = false;

  /** What the handler's calls return does not matter. */
  constructor(handler: Required<Pick<StreamHandler, 'page' | 'zeroPage'>>) {
    const noDelta = (): never => {
      throw malformed('a difference');
    };
    const counters = {
      ...{ bytes: 0, pages: 0, zeroPages: 0, pageDeltas: 0 },
      ...{ pagesLeftOut: 0, pagesInjected: 0, ramSections: 0 },
    };
    this.#records = new PageRecords({ ...handler, pageDelta: noDelta }, this.#output, counters);
  }

  /** Whether the last record was read: nothing follows it. */
  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Takes the next bytes, cut anywhere.
   *
   * @throws CodedError 'stream', 'unsupported' for anything that QEMU does not send there
   */
  push(bytes: Buffer, blocks: RamBlocks): void {
    if (this.#ended && bytes.length > 0) throw malformed('more after its end');
    const buffer = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    this.#records.blocks = blocks;
    this.#output.begin(0);
    const stop = this.#records.read(buffer, 0, buffer.length);
    switch (stop.is) {
      case 'incomplete':
        this.#rest = Buffer.from(buffer.subarray(stop.at));
        return;
      case 'obstacle':
        throw malformed(stop.obstacle.detail);
      case 'other-record':
        if ((stop.flags & ~ramFlag.sameBlock) !== ramFlag.endOfSection)
          throw malformed(`a record with flags ${stop.flags}`);
        if (stop.at + shortHeaderBytes !== buffer.length) throw malformed('more after its end');
        this.#rest = Buffer.alloc(0);
        this.#ended = true;
    }
  }
}

function malformed(what: string): CodedError<'stream'> {
  return new CodedError('stream', 'unsupported', `QEMU sent ${what} on its second connection`, {
    reason: 'malformed',
  });
}
