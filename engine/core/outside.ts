/**
 * What the decisions need from outside: guest memory to read, a stream to write into, a hash. The engine gives them QEMU's
 * memory and sockets; the simulation and the model test give them models. Time comes with the calls.
 */
import type { RamBlock } from '../stream/handler.ts';
import type { PlanPart } from '../wire/plan-codec.ts';
import type { MappedFrames } from './guest-memory-map.ts';

/**
 * Guest memory as it is now. Reads are synchronous on purpose: a page must be read and put in its place in the stream with
 * nothing in between (docs/engine-design.md, Order).
 */
export interface GuestRam {
  /** Reads `count` pages from `page` on. @throws CodedError 'source', 'guest-ram' */
  read(page: number, count: number, into: Buffer, offset: number): void;
}

/** The target's memory: what is written is there at once, whatever its QEMU loads. */
export interface TargetRam extends GuestRam {
  /** Writes `count` pages from `page` on. @throws CodedError 'destination', 'target-failed' */
  write(page: number, count: number, from: Buffer, offset: number): void;
  /** In a file behind it, or in the address space of QEMU. */
  readonly how: 'file' | 'process';
}

/** The target's memory before it is known which part of it is the RAM block. */
export interface TargetRamSource {
  /** The memory of a RAM block of `lengthBytes`. @throws CodedError 'destination', 'target-ram' if there is no way to it */
  block(lengthBytes: number): TargetRam;
  close(): void;
}

/** Guest memory before it is known which parts of it are the RAM blocks. */
export interface GuestRamSource {
  /**
   * The memory of a RAM block of `blocks`, all that QEMU sends.
   *
   * @throws CodedError 'source', 'guest-ram' if it is not there, or cannot be told from others
   */
  block(block: RamBlock, blocks: readonly RamBlock[]): GuestRam;
  /**
   * Which frames QEMU says are which pages of these blocks; undefined if it was not asked.
   *
   * @throws CodedError 'source', 'memory-map'
   */
  map?(blocks: readonly RamBlock[]): readonly MappedFrames[] | undefined;
  close(): void;
}

/** Tells pages apart by content (engine/list/content-hash.ts). */
export interface PageHash {
  /** Hashes the page at `offset` in `buffer`: one half of it goes to `index` in `into`, the other to `index + 1`. */
  hashPage(buffer: Uint8Array, offset: number, into: Uint32Array, index: number): void;
}

/** The stream to the destination: each call puts something into its order (docs/engine-design.md, Order). */
export interface StreamWriter {
  /** Whether pages have a place in the stream now. */
  readonly canInject: boolean;
  /** The page whose content stands at `offset` in `buffer`, which is valid only during the call. */
  injectPage(blockIndex: number, pageIndex: number, buffer: Buffer, offset: number): void;
  injectZeroPage(blockIndex: number, pageIndex: number): void;
  sendPlan(part: PlanPart): void;
  /** Share of the send window that is free; below 0 there is too much under way. */
  readonly room: number;
}
