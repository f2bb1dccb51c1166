/** Gives the target of a broken early resume what storage has of the pages that it misses: each is compared with its hash first. */
import { CodedError } from '../../foundation/coded-error.ts';
import type { EngineCounters } from '../core/engine-event.ts';
import { onlyPages, RestorePlan } from '../core/restore-plan.ts';
import { pageSizeBytes } from '../list/page-list.ts';
import type { RamBlock } from '../stream/handler.ts';
import type { PlanPart } from '../wire/plan-codec.ts';
import { Restorer, type RestoreSink, type RestoreStorage } from './restorer.ts';

interface KeptRest {
  readonly ramSectionId: number;
  readonly blocks: readonly RamBlock[];
  readonly parts: readonly PlanPart[];
}

/** As engine/recovery/recover.ts has it. */
interface GivenPages {
  readonly missing: { has(block: number, page: number): boolean };
  readonly canGive: boolean;
  give(block: number, page: number, content: Buffer, offset: number): void;
  given(): void;
  fail(error: unknown): void;
}

export class StorageRest implements RestoreSink {
  readonly ramSectionId: number;
  readonly blocks: readonly RamBlock[];
  readonly #parts: readonly PlanPart[];
  readonly #storage: RestoreStorage;
  readonly #plan = new RestorePlan();
  readonly #restorer: Restorer;
  #to: GivenPages | undefined;

  constructor({ ramSectionId, blocks, parts }: KeptRest, storage: RestoreStorage) {
    this.ramSectionId = ramSectionId;
    this.blocks = blocks;
    this.#parts = parts;
    this.#storage = storage;
    this.#restorer = new Restorer(this.#plan, storage, this);
    this.#restorer.expectFaults();
  }

  /** @throws CodedError 'recovery', 'file' */
  begin(to: GivenPages): void {
    this.#to = to;
    for (const part of this.#parts) {
      const reader = this.#storage.reader(part.sourceIndex);
      const missing = onlyPages(part, (page) => to.missing.has(part.blockIndex, page));
      // Of a source that cannot be opened nothing comes.
      if (reader === undefined || missing === undefined) continue;
      try {
        const blockPages = this.blocks[part.blockIndex]?.pageCount ?? 0;
        this.#plan.add(missing, blockPages, Math.floor(reader.sizeBytes / pageSizeBytes));
      } catch (cause) {
        const why =
          'pages lie beyond the end of the storage that was given: it is not what the target was moved with';
        throw new CodedError('recovery', 'file', why, { cause });
      }
    }
  }

  wanted({
    block,
    first,
    end,
  }: {
    readonly block: number;
    readonly first: number;
    readonly end: number;
  }): void {
    for (let page = first; page < end; page += 1) this.#plan.want(block, page);
  }

  pump(): void {
    this.#restorer.pump();
  }

  stop(): void {
    this.#restorer.stop();
  }

  get isExhausted(): boolean {
    return this.#plan.openPages === 0;
  }

  get counters(): Pick<
    EngineCounters,
    'pages_restored' | 'pages_mismatched' | 'pages_unreadable' | 'storage_link_bytes'
  > {
    const { restoredPages, mismatchedPages, unreadablePages } = this.#plan;
    return {
      pages_restored: restoredPages,
      pages_mismatched: mismatchedPages,
      pages_unreadable: unreadablePages,
      storage_link_bytes: this.#restorer.storageBytes,
    };
  }

  get canTake(): boolean {
    return this.#to?.canGive === true;
  }

  take(blockIndex: number, page: number, buffer: Buffer, offset: number): void {
    this.#to?.give(blockIndex, page, buffer, offset);
  }

  taken(): void {
    this.#to?.given();
  }

  /** There is nobody to ask: these stay missing. */
  ask(): void {
    return;
  }

  fail(error: unknown): void {
    this.#to?.fail(error);
  }
}
