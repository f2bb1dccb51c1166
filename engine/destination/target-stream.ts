/** The target's incoming stream: what the source engine sends, and pages restored from storage between its records. */
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import { postcopyBegun } from '../core/advice.ts';
import type { EventSink } from '../core/engine-event.ts';
import type { TargetRamSource } from '../core/outside.ts';
import { FaultTimes } from '../core/fault-times.ts';
import { Placement } from '../core/placement.ts';
import { PageSet } from '../core/page-set.ts';
import type { RestorePlan } from '../core/restore-plan.ts';
import { checkVm } from '../stream/configuration.ts';
import type { RamBlock } from '../stream/handler.ts';
import { writeDiscard } from '../stream/discard.ts';
import { StreamInjector } from '../stream/injector.ts';
import { refuseUnvouched } from '../stream/obstacles.ts';
import { streamCommand } from '../stream/records.ts';
import type { PageRequest } from '../stream/return-path.ts';
import { maxEndBytes } from '../stream/stream-end.ts';
import type { PageName } from '../wire/plan-codec.ts';
import type { TargetOutput } from './target-output.ts';

interface EarlyResume {
  /** The stream becomes post-copy. */
  packageBegins(): void;
  /** Whether huge pages may back a RAM block of `lengthBytes`. */
  mayGetHugePages(lengthBytes: number): boolean;
}

type HoldingOutput = Pick<TargetOutput, 'add' | 'endHere' | 'hold'>;

export class TargetStream {
  readonly injector: StreamInjector;
  readonly faultTimes = new FaultTimes();
  /** Pages with content that went to the target in its stream. */
  streamedPages = 0;
  readonly #plan: RestorePlan;
  readonly #ram: (() => TargetRamSource) | undefined;
  readonly #onEvent: EventSink;
  #placement: { readonly blockIndex: number; readonly pages: Placement } | undefined;
  #openRam: TargetRamSource | undefined;
  #machine = '';
  #returnPath = false;
  /** Pages that the target has, by RAM block, in early resume, and how many it has not. */
  #received: readonly PageSet[] = [];
  #missingPages = 0;
  /** The plan has had all of these. */
  #isCovered = false;
  /** The target was told to throw a page away: from then on it takes the end of post-copy, and no other. */
  #discarded = false;
  /** The beginning of the stream, until it is known whether it is of the right VM: nothing of another one reaches the target. */
  #beginning: Buffer[] | undefined = [];

  /**
   * A record of a page in the stream supersedes the plan's.
   *
   * @param vm name or uuid that the engine was told
   * @param ram opens the target's memory; undefined where all pages go into the stream
   * @param early early resume: told when the stream becomes post-copy; what is added to the output from then on is held
   */
  constructor(
    plan: RestorePlan,
    output: HoldingOutput,
    vm: string | undefined,
    onEvent: EventSink,
    ram?: () => TargetRamSource,
    early?: EarlyResume,
  ) {
    this.#plan = plan;
    this.#ram = ram;
    this.#onEvent = onEvent;
    this.injector = new StreamInjector(
      {
        configuration: (configuration) => {
          checkVm(vm, configuration);
          this.#machine = configuration.machine;
          this.#release(output);
        },
        ramBlocks: (blocks) => {
          const pages = blocks.reduce((sum, { pageCount }) => sum + pageCount, 0);
          onEvent({
            event: 'qemu-connected',
            machine: this.#machine,
            ram_blocks: blocks.length,
            ram_pages: pages,
          });
          this.#placement = this.#startPlacement(blocks);
          if (early === undefined) return;
          this.#received = blocks.map(({ pageCount }) => new PageSet(pageCount));
          this.#missingPages = pages;
        },
        page: (blockIndex, page, buffer, offset) => {
          plan.supersede(blockIndex, page);
          if (!this.#receives(blockIndex, page)) return false;
          this.#noteArrival(blockIndex, page);
          if (this.#placementOf(blockIndex)?.takeRecord(page, buffer, offset) === true) return false;
          this.streamedPages += 1;
          return true;
        },
        zeroPage: (blockIndex, page) => {
          plan.supersede(blockIndex, page);
          if (!this.#receives(blockIndex, page)) return false;
          this.#noteArrival(blockIndex, page);
          return this.#placementOf(blockIndex)?.takeZeros(page) !== true;
        },
        pageDelta: (blockIndex, page) => {
          // The source leaves no record out from which a later one can differ. If it were otherwise, memory would be wrong.
          if (plan.isPending(blockIndex, page))
            throw new CodedError('destination', 'incomplete', `page ${page} changes before it is restored`);
          this.#placementOf(blockIndex)?.forward(page);
        },
        command: (command) => {
          if (command === streamCommand.openReturnPath) this.#returnPath = true;
        },
        postcopyBegins: () => {
          onEvent({ event: 'warning', ...postcopyBegun });
        },
        ramSectionEnds: (kind) => {
          if (kind === 'start' && early?.mayGetHugePages(this.#largestBlock.lengthBytes) === true)
            this.#discard(output, 0);
        },
        discard: (blockIndex, page, pageCount) => {
          this.#discarded = true;
          for (let i = page; i < page + pageCount; i++) {
            plan.supersede(blockIndex, i);
            if (this.#received[blockIndex]?.delete(i) === true) this.#missingPages += 1;
          }
        },
        packageBegins: () => {
          output.hold();
          onEvent({ event: 'switch-over' });
          early?.packageBegins();
        },
        packageEnds: () => {
          output.endHere();
        },
        deviceState: () => {
          if (this.#discarded) {
            // It would wait for ever (migration/migration.c, process_incoming_migration_co).
            const why =
              'QEMU had nothing left to send and did not go over to post-copy, which this target waits for';
            throw new CodedError('destination', 'no-postcopy', `${why}; try again, or with another strategy`);
          }
          output.hold();
          onEvent({ event: 'switch-over' });
        },
        unsupported: (code, reason) => {
          refuseUnvouched(code, reason, this.injector.reader.mayBecomePostcopy);
          this.#release(output);
          // Where device state begins cannot be told; without its end of file byte the target cannot start.
          output.hold(maxEndBytes);
          onEvent({ event: 'stream-unfilterable', code, reason });
        },
      },
      (buffer, start, end) => {
        if (this.#beginning === undefined) output.add(buffer, start, end);
        else this.#beginning.push(Buffer.from(buffer.subarray(start, end)));
      },
      { holdAtEnd: true, leftOutIsDelivered: true, postcopy: early !== undefined },
    );
  }

  #release(output: HoldingOutput): void {
    for (const bytes of this.#beginning ?? []) output.add(bytes, 0, bytes.length);
    this.#beginning = undefined;
  }

  /** Pages written into the target's memory, beside its stream. */
  get placedPages(): number {
    return this.#placement?.pages.placedPages ?? 0;
  }

  /** A page that storage has given. What stands in `buffer` must stay until `restored`. */
  restore(blockIndex: number, page: number, buffer: Buffer, offset: number): void {
    if (!this.#receives(blockIndex, page)) return;
    this.#noteArrival(blockIndex, page);
    if (this.#placementOf(blockIndex)?.takeRestored(page, buffer, offset) === true) return;
    this.streamedPages += 1;
    this.injector.injectPage(blockIndex, page, buffer, offset);
  }

  /** Called after each row of `restore`. */
  restored(): void {
    this.#placement?.pages.flush();
    this.#ping();
    this.injector.closeSection();
  }

  /** Nothing is placed after it. */
  close(): void {
    this.#placement = undefined;
    this.#openRam?.close();
    this.#openRam = undefined;
  }

  /** The target's VM waits for pages, as it does in early resume. Returns those that were not given to it since. */
  requested({ blockName, pageIndex, pageCount }: PageRequest, nowMs: number): readonly PageName[] {
    const block = this.injector.reader.blocks.find(({ name }) => name === blockName);
    const received = block === undefined ? undefined : this.#received[block.index];
    if (block === undefined || received === undefined) return [];
    const waitedFor: PageName[] = [];
    const end = Math.min(pageIndex + pageCount, block.pageCount);
    for (let page = pageIndex; page < end; page++) {
      if (received.has(page)) continue;
      this.faultTimes.requested(block.index, page, nowMs);
      waitedFor.push({ blockIndex: block.index, pageIndex: page });
    }
    return waitedFor;
  }

  #noteArrival(blockIndex: number, page: number): void {
    if (this.faultTimes.isWaiting) this.faultTimes.arrived(blockIndex, page, performance.now());
  }

  /** A PONG of the target. Returns whether its PING was sent here. */
  pong(value: number): boolean {
    return this.#placement?.pages.pong(value) === true;
  }

  /** A page goes to the target, unless it has it and its VM may run: it takes none twice then. */
  #receives(blockIndex: number, page: number): boolean {
    const isNew = this.#received[blockIndex]?.add(page);
    if (isNew === true) this.#missingPages -= 1;
    return isNew !== false || !this.injector.reader.moved;
  }

  /**
   * Whether the VM is here and storage alone can give what it misses, so that the stream could end without the source. What storage
   * has is compared when it is read.
   */
  get needsNoSource(): boolean {
    if (this.#received.length === 0 || this.injector.reader.missingEnd === undefined) return false;
    const { openPages, pendingPages } = this.#plan;
    // From then on nothing becomes missing, and nothing is planned: all are there but for those that were asked for.
    if (this.#isCovered) return openPages === pendingPages;
    // Most of the time this tells it, and costs nothing.
    if (this.#missingPages > openPages) return false;
    this.#isCovered = this.#received.every((received, blockIndex) => this.#plan.covers(blockIndex, received));
    return this.#isCovered;
  }

  /** The source is gone, and the target has every page. */
  endInstead(): void {
    this.injector.endInstead();
  }

  get #largestBlock(): RamBlock {
    const [first, ...others] = this.injector.reader.blocks;
    if (first === undefined) throw new Error('no RAM block');
    return others.reduce((a, b) => (b.pageCount > a.pageCount ? b : a), first);
  }

  /**
   * Where huge pages back memory as it is filled, QEMU could not place a missing page beside one that is there. The first
   * RAM_DISCARD ends that (migration/ram.c, ram_discard_range; migration/postcopy-ram.c, postcopy_ram_prepare_discard).
   * @param page of the largest block, which the target has not got
   */
  #discard(output: HoldingOutput, page: number): void {
    const command = writeDiscard(
      this.injector.reader.blockNames[this.#largestBlock.index] ?? Buffer.alloc(0),
      page,
    );
    output.add(command, 0, command.length);
    this.#discarded = true;
  }

  #placementOf(blockIndex: number): Placement | undefined {
    return blockIndex === this.#placement?.blockIndex ? this.#placement.pages : undefined;
  }

  /** Pages of the largest RAM block are placed: all others together have next to none. */
  #startPlacement(
    blocks: readonly RamBlock[],
  ): { readonly blockIndex: number; readonly pages: Placement } | undefined {
    if (this.#ram === undefined || blocks.length === 0) return undefined;
    const block = this.#largestBlock;
    try {
      this.#checkPlaceable();
      this.#openRam = this.#ram();
      const ram = this.#openRam.block(block.lengthBytes);
      const pages = new Placement(ram, block.pageCount, {
        begins: () => {
          this.#onEvent({ event: 'placing', how: ram.how });
        },
        ends: (reason) => {
          this.#onEvent({ event: 'not-placing', reason });
        },
      });
      return { blockIndex: block.index, pages };
    } catch (error) {
      if (!isCoded(error, 'destination', 'target-ram')) throw error;
      this.#onEvent({ event: 'not-placing', reason: error.message });
      return undefined;
    }
  }

  /** @throws CodedError 'destination', 'target-ram' */
  #checkPlaceable(): void {
    if (!this.#returnPath)
      throw new CodedError('destination', 'target-ram', 'QEMU has no return path (capability return-path)');
    // What the loader has not received it requests from the source once the target runs (migration/postcopy-ram.c).
    if (this.injector.reader.mayBecomePostcopy)
      throw new CodedError('destination', 'target-ram', 'QEMU may start post-copy (capability postcopy-ram)');
  }

  #ping(): void {
    const pages = this.#placement?.pages;
    if (pages?.wantsPing !== true || !this.injector.canCommand) return;
    const value = Buffer.alloc(4);
    value.writeUInt32BE(pages.ping());
    this.injector.injectCommand(streamCommand.ping, value);
  }

  /** The source's QEMU waits for the target's word on it. */
  get hasReturnPath(): boolean {
    return this.#returnPath;
  }

  /**
   * Takes bytes of the source's stream.
   *
   * @throws CodedError 'destination', 'incomplete' if RAM ends with pages pending
   * @throws CodedError 'stream', 'another-vm', before any of it has reached the target
   */
  push(bytes: Buffer): void {
    const goesOn = this.injector.push(bytes);
    this.#placement?.pages.flush();
    this.#ping();
    if (goesOn) return;
    // The source releases the end of RAM only when nothing is pending. If it were otherwise, memory would be incomplete.
    if (this.#plan.pendingPages > 0) {
      throw new CodedError(
        'destination',
        'incomplete',
        `RAM ends with ${this.#plan.pendingPages} pages pending`,
      );
    }
    this.injector.release();
  }
}
