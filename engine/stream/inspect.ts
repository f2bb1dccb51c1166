/** Summary of a migration stream, for `inspect-stream` and for people who wonder what is in one. */
import { isCoded } from '../../foundation/coded-error.ts';
import type { RamBlock, StreamConfiguration, UnsupportedReason } from './handler.ts';
import { pageSizeBytes } from '../list/page-list.ts';
import { StreamReader } from './reader.ts';
import { streamCommand } from './records.ts';

export interface StreamSummary {
  readonly bytes: number;
  readonly configuration: StreamConfiguration | undefined;
  /** QEMU that the machine type belongs to, e.g. "10.0": the stream's QEMU is at least as new. */
  readonly minQemuVersion: string | undefined;
  readonly blocks: readonly BlockSummary[];
  /** Parts of the RAM section: one START, any number of PARTs, one END. */
  readonly ramSections: number;
  /** Bytes up to the end of RAM, and of what follows it. */
  readonly ramBytes: number;
  readonly deviceStateBytes: number;
  /** Of a stream that became post-copy: pages that the target threw away, and records that came when it could run. */
  readonly moved: { readonly discardedPages: number; readonly records: number } | undefined;
  /**
   * Passes over memory, estimated: a new one begins where the position in memory goes back. Passes that QEMU cut short
   * to start over count too.
   */
  readonly passes: number;
  /** Commands in their order, by name where it is known. */
  readonly commands: readonly string[];
  readonly end: StreamEnd;
}

interface BlockSummary extends RamBlock {
  /** Records of pages with content, of pages of zeros, of differences; a page counts each time that it was sent. */
  readonly pageRecords: number;
  readonly zeroRecords: number;
  readonly deltaRecords: number;
  /** Pages of which there was at least one record. */
  readonly distinctPages: number;
}

/** How the stream ended, or why it could not be read further. */
type StreamEnd =
  | { readonly is: 'complete' }
  | { readonly is: 'truncated'; readonly detail: string }
  | { readonly is: 'unfilterable'; readonly reason: UnsupportedReason; readonly detail: string };

interface BlockCount {
  pageRecords: number;
  zeroRecords: number;
  deltaRecords: number;
  distinctPages: number;
  readonly seen: Uint8Array;
}

/** Summarises a stream that is pushed chunk by chunk. Memory: one bit for each guest page. */
export class StreamInspector {
  readonly #reader: StreamReader;
  #configuration: StreamConfiguration | undefined;
  #counts: BlockCount[] = [];
  #passes = 0;
  #lastBlock = Infinity;
  #lastPage = Infinity;
  readonly #commands: string[] = [];
  #bytesOut = 0;
  #ramEndsAt: number | undefined;
  #packageBytes: number | undefined;
  #discardedPages = 0;
  #recordsAfterPackage = 0;
  #end: StreamEnd = { is: 'complete' };

  constructor() {
    this.#reader = new StreamReader(
      {
        configuration: (configuration) => {
          this.#configuration = configuration;
        },
        ramBlocks: (blocks) => {
          this.#counts = blocks.map(({ pageCount }) => ({
            pageRecords: 0,
            zeroRecords: 0,
            deltaRecords: 0,
            distinctPages: 0,
            seen: new Uint8Array(Math.ceil(pageCount / 8)),
          }));
        },
        page: (block, page) => {
          this.#count(block, page, 'pageRecords');
          return true;
        },
        zeroPage: (block, page) => {
          this.#count(block, page, 'zeroRecords');
          return true;
        },
        pageDelta: (block, page) => {
          this.#count(block, page, 'deltaRecords');
        },
        command: (command) => {
          const known = Object.entries(streamCommand).find(([, code]) => code === command);
          this.#commands.push(known?.[0] ?? `command ${command}`);
        },
        discard: (_block, _page, pageCount) => {
          this.#discardedPages += pageCount;
        },
        packageBegins: (lengthBytes) => {
          this.#packageBytes = lengthBytes;
        },
        deviceState: () => {
          this.#ramEndsAt = this.#bytesOut;
        },
        unsupported: (reason, detail) => {
          this.#end = { is: 'unfilterable', reason, detail };
        },
      },
      (_, start, end) => {
        this.#bytesOut += end - start;
      },
      { postcopy: true },
    );
  }

  push(chunk: Buffer): void {
    this.#reader.push(chunk);
  }

  /** To be called when the input has ended. */
  finish(): StreamSummary {
    try {
      this.#reader.end();
    } catch (error) {
      if (!isCoded(error, 'stream')) throw error;
      this.#end = { is: 'truncated', detail: error.message };
    }
    const { bytes, ramSections } = this.#reader.counters;
    const deviceStateBytes =
      this.#packageBytes ?? (this.#ramEndsAt === undefined ? 0 : bytes - this.#ramEndsAt);
    return {
      bytes,
      configuration: this.#configuration,
      minQemuVersion: /-(\d+\.\d+)$/.exec(this.#configuration?.machine ?? '')?.[1],
      blocks: this.#reader.blocks.flatMap((block, index) => {
        const count = this.#counts[index];
        if (count === undefined) return [];
        const { pageRecords, zeroRecords, deltaRecords, distinctPages } = count;
        return [{ ...block, pageRecords, zeroRecords, deltaRecords, distinctPages }];
      }),
      ramSections,
      ramBytes: bytes - deviceStateBytes,
      deviceStateBytes,
      moved: this.#reader.moved
        ? { discardedPages: this.#discardedPages, records: this.#recordsAfterPackage }
        : undefined,
      passes: this.#passes,
      commands: this.#commands,
      end: this.#end,
    };
  }

  #count(blockIndex: number, pageIndex: number, kind: 'pageRecords' | 'zeroRecords' | 'deltaRecords'): void {
    if (this.#reader.moved) this.#recordsAfterPackage += 1;
    if (blockIndex < this.#lastBlock || (blockIndex === this.#lastBlock && pageIndex < this.#lastPage)) {
      this.#passes += 1;
    }
    this.#lastBlock = blockIndex;
    this.#lastPage = pageIndex;
    const count = this.#counts[blockIndex];
    if (count === undefined) return;
    count[kind] += 1;
    const bit = 1 << (pageIndex & 7);
    const byte = count.seen[pageIndex >>> 3] ?? 0;
    if ((byte & bit) !== 0) return;
    count.seen[pageIndex >>> 3] = byte | bit;
    count.distinctPages += 1;
  }
}

/** The summary as text for a terminal. */
export function formatSummary(summary: StreamSummary): string {
  const { configuration, end } = summary;
  const lines = [
    `machine        ${configuration?.machine ?? 'unknown'}`,
    `QEMU           ${summary.minQemuVersion === undefined ? 'unknown' : `${summary.minQemuVersion} or newer`}`,
    `capabilities   ${configuration?.capabilities.join(', ') || 'none listed'}`,
    `commands       ${summary.commands.join(', ') || 'none'}`,
    `size           ${summary.bytes} bytes: RAM ${summary.ramBytes}, device state ${summary.deviceStateBytes}`,
    `RAM            ${summary.ramSections} sections, about ${summary.passes} passes`,
    ...(summary.moved === undefined
      ? []
      : [
          `post-copy      ${summary.moved.discardedPages} pages thrown away, ${summary.moved.records} records after the package`,
        ]),
    ...summary.blocks.map(
      (block) =>
        `  ${block.name}: ${block.lengthBytes / pageSizeBytes} pages, ${block.pageRecords} sent, ${block.zeroRecords} sent as zero, ${block.deltaRecords} as differences, ${block.distinctPages} distinct`,
    ),
    `end            ${describeEnd(end)}`,
  ];
  return `${lines.join('\n')}\n`;
}

function describeEnd(end: StreamEnd): string {
  switch (end.is) {
    case 'complete':
      return 'complete; pages can be left out';
    case 'truncated':
      return `truncated: ${end.detail}`;
    case 'unfilterable':
      return `not filterable (${end.reason}): ${end.detail}`;
  }
}
