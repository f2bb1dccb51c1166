/**
 * The source engine: stands between the source QEMU and the destination engine. It leaves pages out of QEMU's stream that
 * the destination can read from shared storage, sends what storage does not give, and holds the switch-over until nothing
 * is pending. docs/engine.md says why the guest's memory arrives complete.
 */
import { connect, type Server, type Socket } from 'node:net';
import { rmSync } from 'node:fs';
import type { PageListAnswer } from '../pages/agent-client.ts';
import { pageSizeBytes, type PageList, type PageSource } from '../pages/page-list.ts';
import {
  emptyCounters,
  type EngineCounters,
  type EventSink,
  processCounters,
} from '../restore/engine-event.ts';
import { Schedule, type Strategy } from '../restore/schedule.ts';
import type { RamBlock, StreamConfiguration } from '../stream/handler.ts';
import { StreamInjector } from '../stream/injector.ts';
import { returnPathMessage } from '../stream/records.ts';
import { SwitchoverGate } from '../stream/return-path.ts';
import { EngineConnection } from '../wire/connection.ts';
import { adopt, createPausedServer } from '../wire/fast-socket.ts';
import type { FrameType } from '../wire/frame.ts';
import { defaultLiveness, type Liveness, ownHello, takeHello } from '../wire/hello.ts';
import {
  decodeMessage,
  encodeMessage,
  messageSchemas,
  type RestoreStatus,
  type Storage,
} from '../wire/messages.ts';
import { decodeAsk, encodePlanPart, type PageName } from '../wire/plan-codec.ts';
import { SendWindow } from '../wire/send-window.ts';
import { WireError } from '../wire/wire-error.ts';
import { type GuestRam, type GuestRamPlace, openGuestRam } from './guest-ram.ts';
import { PageLedger, pageState } from './page-ledger.ts';
import { PlanBuilder } from './plan-builder.ts';
import { RamCheck } from './ram-check.ts';
import { SourceError } from './source-error.ts';
import { StreamBatch } from './stream-batch.ts';
import { StreamEnd } from './stream-end.ts';

export interface SourceOptions {
  /** Unix socket to which QEMU is told to migrate. */
  readonly listenPath: string;
  readonly destination: { readonly host: string; readonly port: number };
  /** Name of the VM, compared with the destination's. */
  readonly vm?: string;
  readonly strategy: Strategy;
  readonly compression: 'none' | 'zstd';
  /** Where guest memory is; without it nothing is restored from storage. */
  readonly ram?: GuestRamPlace;
  /** Asks for the page list; without it nothing is restored from storage. */
  readonly requestList?: (signal: AbortSignal) => Promise<PageListAnswer>;
  readonly liveness?: Liveness;
  readonly onEvent: EventSink;
  /** Ends the migration: the source VM goes on. */
  readonly signal?: AbortSignal;
}

export type SourceOutcome =
  | { readonly result: 'migrated' }
  /** The VM runs on at the source. */
  | { readonly result: 'failed'; readonly error: Error }
  /** The target may run or not; this process had kept the source VM stopped until it was told to let go. */
  | { readonly result: 'in-doubt'; readonly error: Error };

const readBytes = 1024 * 1024;
const compressionLevel = 1;
/** Entries of the list planned, and pages sent, before other events get their turn. */
const planSlicePages = 512;
const takeSlicePages = 64;
const progressMs = 200;
/** QEMU that is silent for so long in its device state has said all, though the end was not recognised. */
const silentEndMs = 100;
/**
 * Without a withheld agreement QEMU is stopped while so much of its first pass is left that it does not fit into the
 * downtime. Pages of zeros take nine bytes in its socket, so that it may be 22 000 pages ahead of what was read.
 */
const stallPages = 32_768;

/** Runs one migration; settles when it is over. */
export function runSource(options: SourceOptions): Promise<SourceOutcome> {
  return new SourceEngine(options).run();
}

type Phase = 'connecting' | 'waiting-for-qemu' | 'migrating' | 'committed' | 'over';

class SourceEngine {
  readonly #options: SourceOptions;
  readonly #liveness: Liveness;
  readonly #schedule: Schedule;
  readonly #window = new SendWindow();
  readonly #abortList = new AbortController();
  readonly #gate = new SwitchoverGate((message) => {
    this.#toQemu(message);
  });
  readonly #streamEnd = new StreamEnd();
  readonly #sentAlone = Buffer.allocUnsafeSlow(pageSizeBytes);
  #phase: Phase = 'connecting';
  #finish: (outcome: SourceOutcome) => void = () => undefined;
  #connection!: EngineConnection; // set by run() before anything else happens
  #batch!: StreamBatch; // with it
  #server: Server | undefined;
  #qemu: Socket | undefined;
  #injector: StreamInjector | undefined;
  #configuration: StreamConfiguration | undefined;
  /** The stream cannot be filtered: it is QEMU's own affair when it is complete. */
  #passThrough = false;
  #ledgers: PageLedger[] = [];
  #totalPages = 0;
  /** The RAM block that guest frames lie in: the largest. */
  #mainBlock = -1;
  #ram: GuestRam | undefined;
  #ramCheck: RamCheck | undefined;
  #list: PageList | undefined;
  #storage: Storage | undefined;
  #plan: PlanBuilder | undefined;
  /** Pages that the destination asked for. */
  readonly #asked: PageName[] = [];
  /** Ends of the parts sent: sum of planned pages, and position in the list. */
  readonly #parts: { readonly plannedPages: number; readonly position: number }[] = [];
  #settledPosition = 0;
  #plannedPages = 0;
  #sentAfterAll = 0;
  #status: RestoreStatus | undefined;
  #firstPassThrough = false;
  #heldSinceMs: number | undefined;
  #gateReported = false;
  #endHeld = false;
  #inDeviceState = false;
  #qemuEnded = false;
  #returnPathEnded = false;
  /** What the target reported on the return path; 0 is success. */
  #targetStatus = 0;
  #advanceScheduled = false;
  #readingPaused = false;
  #silence: NodeJS.Timeout | undefined;
  #progress: NodeJS.Timeout | undefined;
  #doubt: Error | undefined;

  constructor(options: SourceOptions) {
    this.#options = options;
    this.#liveness = options.liveness ?? defaultLiveness;
    this.#schedule = new Schedule(options.strategy);
  }

  run(): Promise<SourceOutcome> {
    const { signal, destination } = this.#options;
    return new Promise((resolve) => {
      this.#finish = resolve;
      const abort = (): void => {
        this.#interrupted();
      };
      if (signal?.aborted === true) {
        resolve({ result: 'failed', error: interruption() });
        return;
      }
      signal?.addEventListener('abort', abort, { once: true });
      const socket = connect({ host: destination.host, port: destination.port });
      const own = ownHello('source', this.#options.vm, this.#liveness);
      this.#connection = new EngineConnection(socket, {
        ...this.#liveness,
        onFrame: (type, payload) => {
          if (this.#phase === 'connecting') this.#takeHello(type, payload, own);
          else this.#takeFrame(type, payload);
        },
        onRoom: () => {
          const { acknowledgedBytes, outstandingBytes } = this.#connection;
          this.#window.acknowledged(
            acknowledgedBytes,
            performance.now(),
            outstandingBytes,
            this.#readingPaused,
          );
          this.#scheduleAdvance();
        },
        onClosed: (error) => {
          this.#connectionClosed(error);
        },
      });
      this.#batch = new StreamBatch(this.#connection);
      this.#connection.send('hello', encodeMessage(own));
    });
  }

  #takeHello(type: FrameType, payload: Buffer, own: ReturnType<typeof ownHello>): void {
    if (type !== 'hello') throw new WireError('malformed', `the other engine begins with "${type}"`);
    const other = takeHello(own, payload, this.#liveness.timeoutMs);
    const { destination, listenPath, onEvent } = this.#options;
    const compression =
      this.#options.compression === 'zstd' && other.compression.includes('zstd') ? 'zstd' : 'none';
    if (compression === 'zstd') this.#connection.enableCompression(compressionLevel);
    this.#phase = 'waiting-for-qemu';
    onEvent({ event: 'connected', peer: `${destination.host}:${destination.port}`, compression });
    rmSync(listenPath, { force: true });
    this.#server = createPausedServer((accepted) => {
      if (this.#qemu !== undefined) {
        accepted.destroy();
        return;
      }
      this.#qemuConnected(accepted);
    });
    this.#server.on('error', (cause) => {
      this.#fail(new SourceError('qemu-closed', `cannot listen on ${listenPath}: ${cause.message}`, cause));
    });
    this.#server.listen(listenPath, () => {
      onEvent({ event: 'listening', address: `unix:${listenPath}` });
    });
  }

  #qemuConnected(accepted: Socket): void {
    this.#phase = 'migrating';
    this.#server?.close();
    this.#progress = setInterval(() => {
      this.#options.onEvent({ event: 'progress', ...this.#counters() });
    }, progressMs);
    this.#injector = new StreamInjector(
      {
        configuration: (configuration) => {
          this.#configuration = configuration;
        },
        ramBlocks: (blocks) => {
          this.#ramBlocks(blocks);
        },
        page: (blockIndex, page, buffer, offset) => {
          if (blockIndex === this.#mainBlock) this.#ramCheck?.record(page, buffer, offset);
          return this.#ledgers[blockIndex]?.pageRecord(page, buffer, offset) ?? true;
        },
        zeroPage: (blockIndex, page) => {
          this.#ledgers[blockIndex]?.zeroRecord(page);
        },
        deviceState: () => {
          this.#inDeviceState = true;
          this.#options.onEvent({ event: 'switch-over' });
        },
        unsupported: (code, reason) => {
          this.#options.onEvent({ event: 'stream-unfilterable', code, reason });
          this.#passThrough = true;
          this.#schedule.noList();
        },
      },
      (buffer, start, end) => {
        this.#batch.add(buffer, start, end);
        if (this.#inDeviceState) this.#watchEnd(buffer.subarray(start, end));
      },
      { holdAtEnd: true },
    );
    const qemu = adopt(
      accepted,
      readBytes,
      (chunk) => this.#guarded(() => this.#takeFromQemu(chunk)) ?? false,
    );
    this.#qemu = qemu;
    qemu.on('end', () => {
      this.#guarded(() => {
        this.#qemuEnd();
      });
    });
    qemu.on('error', (cause) => {
      if (this.#phase === 'committed')
        this.#guarded(() => {
          this.#qemuEnd();
        });
      else
        this.#fail(new SourceError('qemu-closed', `the connection to QEMU broke: ${cause.message}`, cause));
    });
    qemu.resume();
    if (this.#schedule.waitsForList) this.#requestList();
  }

  #requestList(): void {
    const { requestList, ram, onEvent } = this.#options;
    if (requestList === undefined || ram === undefined) {
      this.#giveUpList('not-asked', 'no agent or no guest memory was given');
      return;
    }
    requestList(this.#abortList.signal)
      .then(
        (answer) => {
          const { list, timings } = answer;
          onEvent({
            event: 'listed',
            pages_listed: list.pageCount,
            list_bytes: answer.listBytes,
            list_total_ms: timings.totalMs,
            list_find_ms: list.timings.findMs,
            list_translate_ms: list.timings.translateMs,
            list_map_ms: list.timings.mapMs,
            list_encode_ms: list.timings.encodeMs,
            list_send_ms: timings.sendMs,
            list_clean_ms: timings.cleanMs,
            server: `${list.server.product} ${list.server.version}`,
          });
          this.#list = list;
          this.#connection.send('sources', encodeMessage({ sources: list.sources }), true);
        },
        (error: unknown) => {
          const { code, message } = error as Error & { readonly code?: string };
          this.#giveUpList(code ?? 'failed', message);
        },
      )
      .catch((error: unknown) => {
        this.#fail(error);
      });
  }

  /** The migration goes on as one without storage. */
  #giveUpList(code: string, reason: string): void {
    if (!this.#schedule.waitsForList) return;
    this.#options.onEvent({ event: 'no-list', code, reason });
    this.#schedule.noList();
    this.#scheduleAdvance();
  }

  #ramBlocks(blocks: readonly RamBlock[]): void {
    this.#ledgers = blocks.map(({ pageCount }) => new PageLedger(pageCount));
    this.#totalPages = blocks.reduce((sum, { pageCount }) => sum + pageCount, 0);
    const main = blocks.reduce((largest, block) => (block.pageCount > largest.pageCount ? block : largest));
    this.#mainBlock = main.index;
    this.#options.onEvent({
      event: 'qemu-connected',
      machine: this.#configuration?.machine ?? '',
      ram_blocks: blocks.length,
      ram_pages: this.#totalPages,
    });
    if (!this.#schedule.waitsForList || this.#options.ram === undefined) return;
    try {
      this.#ram = openGuestRam(this.#options.ram, main.lengthBytes);
      this.#ramCheck = new RamCheck(this.#ram);
    } catch (error) {
      const { message } = error as SourceError;
      this.#giveUpList('guest-ram', message);
    }
  }

  /** Starts planning once the list, storage and a checked view of guest memory are all there. */
  #startPlan(): void {
    const ledger = this.#ledgers[this.#mainBlock];
    if (this.#plan !== undefined || !this.#schedule.waitsForList) return;
    if (this.#list === undefined || this.#storage === undefined || this.#ram === undefined) return;
    if (ledger === undefined || this.#ramCheck?.passed !== true) return;
    const { storage } = this.#storage;
    const blocks = this.#list.sources.map((_, index) => {
      const found = storage[index];
      return found?.usable === true ? Math.floor(found.sizeBytes / pageSizeBytes) : undefined;
    });
    this.#plan = new PlanBuilder(this.#list, blocks, this.#mainBlock, ledger, this.#ram);
    const { listedPages, alreadySentPages, refused } = this.#plan.listed;
    this.#options.onEvent({
      event: 'accepted',
      pages_accepted: listedPages,
      pages_already_sent: alreadySentPages,
      refused_beyond_ram: refused.beyondRam,
      refused_duplicate_frame: refused.duplicateFrame,
      refused_unknown_source: refused.unknownSource,
      refused_beyond_storage: refused.beyondStorage,
    });
    this.#schedule.listArrived(this.#plan.remainingPages);
  }

  /** Takes a chunk of QEMU's stream; returns whether to read on. */
  #takeFromQemu(chunk: Buffer): boolean {
    if (!this.injector.push(chunk)) this.#endHeld = true;
    if (this.#ramCheck?.differs === true) this.#ramDiffers();
    this.#watchFirstPass();
    this.#updateGate();
    this.#scheduleAdvance();
    return this.#mayRead();
  }

  /** What is read as guest memory is something else: harmless as long as nothing relies on it. */
  #ramDiffers(): void {
    const reason = 'what was given as guest memory is not what QEMU sends';
    if (this.#plan !== undefined) throw new SourceError('guest-ram-differs', reason);
    this.#giveUpList('guest-ram-differs', reason);
  }

  #watchFirstPass(): void {
    if (this.#firstPassThrough || this.#ledgers.length === 0) return;
    const repeated = this.#ledgers.some((ledger) => ledger.repeated);
    if (repeated || this.#unseenPages === 0) {
      this.#firstPassThrough = true;
      this.#schedule.firstPassThrough();
      this.#options.onEvent({ event: 'first-pass-done' });
    }
    if (this.#schedule.waitsForList && (this.#firstPassThrough || this.#almostThrough)) {
      this.#startPlan();
      this.#giveUpList('too-late', "QEMU's first pass was through before the list was there");
    }
  }

  get #unseenPages(): number {
    return this.#totalPages - this.#ledgers.reduce((sum, { seenPages }) => sum + seenPages, 0);
  }

  get #almostThrough(): boolean {
    return this.#totalPages > 0 && this.#unseenPages <= Math.min(stallPages, this.#totalPages / 8);
  }

  /** Looks for the end of QEMU's stream, upon which the target may get the last byte. */
  #watchEnd(deviceState: Buffer): void {
    clearTimeout(this.#silence);
    const complete = this.#streamEnd.push(deviceState);
    // The output's buffer goes to the destination before the commit, but not while it is being written.
    this.#silence = setTimeout(
      () =>
        this.#guarded(() => {
          this.#commit();
        }),
      complete ? 0 : silentEndMs,
    );
  }

  #commit(): void {
    if (this.#phase !== 'migrating') return;
    clearTimeout(this.#silence);
    this.#batch.flush();
    this.#connection.send('commit', Buffer.alloc(0));
    this.#phase = 'committed';
  }

  #qemuEnd(): void {
    if (this.#qemuEnded) return;
    this.#qemuEnded = true;
    // The migration was cancelled, or failed: a stream that is not complete throws here.
    if (this.#phase === 'migrating') {
      this.injector.end();
      this.#commit();
    }
    this.#batch.flush();
    this.#connection.send('streamEnd', Buffer.alloc(0));
    this.#finishIfOver();
  }

  #takeFrame(type: FrameType, payload: Buffer): void {
    switch (type) {
      case 'storage':
        this.#storage = decodeMessage(messageSchemas.storage, payload);
        this.#reportStorage(this.#storage, this.#list?.sources ?? []);
        break;
      case 'status':
        this.#takeStatus(decodeMessage(messageSchemas.status, payload));
        break;
      case 'ask':
        this.#asked.push(...decodeAsk(payload));
        break;
      case 'returnPath':
        this.#gate.push(payload);
        break;
      case 'returnPathEnd':
        if (this.#phase === 'migrating' && !this.#passThrough) {
          throw new SourceError('target-failed', 'the target closed its connection in mid-migration');
        }
        this.#returnPathEnded = true;
        this.#qemu?.end();
        this.#finishIfOver();
        break;
      default:
        throw new WireError('malformed', `the destination sent "${type}"`);
    }
    this.#scheduleAdvance();
  }

  #reportStorage({ storage }: Storage, sources: readonly PageSource[]): void {
    storage.forEach((found, index) => {
      const source = nameOf(sources[index]);
      if (found.usable) this.#options.onEvent({ event: 'storage', source, size_bytes: found.sizeBytes });
      else this.#options.onEvent({ event: 'storage-unusable', source, reason: found.reason });
    });
  }

  #takeStatus(status: RestoreStatus): void {
    this.#status = status;
    this.#schedule.status(status, performance.now());
    for (
      let part = this.#parts[0];
      part !== undefined && part.plannedPages <= status.cursorPages;
      part = this.#parts[0]
    ) {
      this.#settledPosition = part.position;
      this.#parts.shift();
    }
  }

  /**
   * The destination asks for pages. One that is plain again has been sent in a newer version, which is on its way.
   *
   * @throws WireError 'malformed' if it asks for what was never planned
   */
  #answer(): void {
    if (!this.injector.canInject) return;
    for (const { blockIndex, pageIndex } of this.#asked.splice(0)) {
      const ledger = this.#ledgers[blockIndex];
      if (blockIndex !== this.#mainBlock || ledger === undefined || pageIndex >= ledger.pageCount) {
        throw new WireError(
          'malformed',
          `the destination asks for page ${pageIndex} of RAM block ${blockIndex}`,
        );
      }
      const state = ledger.state(pageIndex);
      if (state !== pageState.planned && state !== pageState.plannedOwed) continue;
      ledger.drop(pageIndex);
      this.#sendFromRam(pageIndex);
    }
  }

  /** Reads a page of the main block and puts it into the stream, in one go (docs/engine.md, Order). */
  #sendFromRam(page: number): void {
    this.#ram?.read(page, 1, this.#sentAlone, 0);
    this.injector.injectPage(this.#mainBlock, page, this.#sentAlone, 0);
    this.#sentAfterAll += 1;
  }

  /** Does what the schedule asks for, a slice at a time. */
  #advance(): void {
    if (this.#phase !== 'migrating') {
      this.#batch.flush();
      this.#updateReading();
      return;
    }
    this.#startPlan();
    this.#answer();
    const more = this.#walkList();
    this.#updateGate();
    this.#batch.flush();
    this.#updateReading();
    if (more) this.#scheduleAdvance();
  }

  /** Plans and takes pages; returns whether there is more to do at once. */
  #walkList(): boolean {
    const plan = this.#plan;
    if (plan === undefined || this.#injector?.canInject !== true) return false;
    let more = false;
    const hadPages = plan.remainingPages > 0;
    const pages = Math.min(this.#schedule.pagesToPlan, planSlicePages);
    if (pages > 0 && this.#roomBytes > -this.#window.limitBytes) {
      const part = plan.planNext(pages, (page) => {
        this.injector.injectZeroPage(this.#mainBlock, page);
      });
      if (part !== undefined) {
        this.#batch.flush();
        this.#connection.send('plan', encodePlanPart(part), true);
        this.#plannedPages += part.pageCount;
        this.#parts.push({ plannedPages: this.#plannedPages, position: plan.frontPosition });
      }
      this.#schedule.listWalked(part?.pageCount ?? 0, plan.remainingPages);
      more = this.#schedule.pagesToPlan > 0;
    }
    const takes = (): boolean =>
      this.#schedule.takesFromBack(this.#qemuHeld, this.#roomBytes / this.#window.limitBytes);
    if (takes()) {
      const taken = plan.takeFromBack(takeSlicePages, this.#settledPosition, (page, content) => {
        if (content === undefined) this.injector.injectZeroPage(this.#mainBlock, page);
        else this.injector.injectPage(this.#mainBlock, page, content, 0);
        this.#sentAfterAll += 1;
      });
      this.#schedule.listWalked(0, plan.remainingPages);
      more = more || (taken > 0 && takes());
    }
    if (hadPages && plan.remainingPages === 0) this.#options.onEvent({ event: 'planned' });
    return more;
  }

  /** What may still be put under way. */
  get #roomBytes(): number {
    const waiting = this.#batch.waitingBytes / this.#connection.compressionRatio;
    return this.#window.limitBytes - this.#connection.outstandingBytes - waiting;
  }

  get #qemuHeld(): boolean {
    return (
      this.#endHeld || this.#schedule.holdsQemu(this.#gate.state === 'ack-withheld', this.#almostThrough)
    );
  }

  #updateGate(): void {
    if (!this.#schedule.gateOpen) {
      if (this.#heldSinceMs === undefined && this.#qemuHeld) {
        this.#heldSinceMs = performance.now();
        const by = this.#gate.state === 'ack-withheld' ? 'agreement-withheld' : 'stalled-reading';
        this.#options.onEvent({ event: 'gate-held', by });
      }
      return;
    }
    if (!this.#gateReported) {
      this.#gateReported = true;
      const owed = this.#ledgers.reduce((sum, { owedPages }) => sum + owedPages, 0);
      if (owed > 0) throw new Error(`${owed} pages were left out and neither planned nor sent`);
      const heldMs = this.#heldSinceMs === undefined ? 0 : performance.now() - this.#heldSinceMs;
      this.#options.onEvent({ event: 'gate-released', held_ms: Math.round(heldMs) });
      this.#gate.open();
    }
    if (this.#endHeld) {
      this.#endHeld = false;
      this.injector.release();
    }
  }

  #mayRead(): boolean {
    const read = !this.#qemuHeld && this.#roomBytes > 0;
    this.#readingPaused = !read;
    return read;
  }

  #updateReading(): void {
    const wasPaused = this.#readingPaused;
    if (wasPaused && this.#mayRead()) this.#qemu?.resume();
  }

  #scheduleAdvance(): void {
    if (this.#advanceScheduled || this.#phase === 'over') return;
    this.#advanceScheduled = true;
    setImmediate(() => {
      this.#advanceScheduled = false;
      this.#guarded(() => {
        this.#advance();
      });
    });
  }

  #toQemu(message: Buffer): void {
    // Its word that the target has everything, or not (migration/migration.c, migrate_send_rp_shut).
    if (message.readUInt16BE(0) === returnPathMessage.shut && message.length >= 8) {
      const status = message.readUInt32BE(4);
      if (status !== 0) this.#targetStatus = status;
    }
    this.#qemu?.write(message);
  }

  #finishIfOver(): void {
    if (!this.#qemuEnded || !this.#returnPathEnded) return;
    if (this.#targetStatus !== 0) {
      this.#fail(new SourceError('target-failed', `the target reported error ${this.#targetStatus}`));
      return;
    }
    this.#options.onEvent({ event: 'done', ...this.#counters() });
    this.#over({ result: 'migrated' });
  }

  #connectionClosed(error: Error | undefined): void {
    this.#fail(error ?? new WireError('closed', 'the destination ended the connection'));
  }

  /** From the commit on the migration ends by itself in a moment, or is in doubt. */
  #interrupted(): void {
    if (this.#doubt !== undefined) this.#over({ result: 'in-doubt', error: this.#doubt });
    else if (this.#phase !== 'committed') this.#fail(interruption());
  }

  #guarded<T>(body: () => T): T | undefined {
    if (this.#phase === 'over') return undefined;
    try {
      return body();
    } catch (error) {
      this.#fail(error);
      return undefined;
    }
  }

  #fail(cause: unknown): void {
    if (this.#phase === 'over' || this.#doubt !== undefined) return;
    const error: Error & { readonly code?: string } =
      cause instanceof Error ? cause : new Error(String(cause));
    const targetFailed = error instanceof WireError && error.peerCode === 'target-failed';
    if (this.#phase === 'committed' && !this.#returnPathEnded && !(targetFailed && !this.#qemuEnded)) {
      // The target may have everything and run. Closing QEMU's connection would let the source VM run too, so that it
      // stays open, and the VM stopped, until somebody who has looked at the target ends this process.
      this.#doubt = error;
      this.#options.onEvent({ event: 'in-doubt', reason: error.message });
      if (this.#qemuEnded) this.#over({ result: 'in-doubt', error });
      return;
    }
    const peer = error instanceof WireError && error.code === 'peer-aborted';
    this.#options.onEvent({ event: 'progress', ...this.#counters() });
    this.#options.onEvent({ event: 'failed', code: error.code ?? 'failed', reason: error.message, peer });
    this.#over({ result: 'failed', error });
    this.#connection.abort(error);
  }

  #over(outcome: SourceOutcome): void {
    this.#phase = 'over';
    clearTimeout(this.#silence);
    clearInterval(this.#progress);
    this.#abortList.abort();
    this.#server?.close();
    this.#ram?.close();
    if (outcome.result === 'migrated') this.#connection.end();
    else this.#qemu?.destroy();
    this.#finish(outcome);
  }

  get injector(): StreamInjector {
    // Only reached from what QEMU's connection or a started plan has set off.
    if (this.#injector === undefined) throw new Error('QEMU is not connected');
    return this.#injector;
  }

  #counters(): EngineCounters {
    const status = this.#status;
    return {
      ...emptyCounters,
      pages_listed: this.#list?.pageCount ?? 0,
      pages_planned: this.#plannedPages,
      pages_left_out: this.#injector?.reader.counters.pagesLeftOut ?? 0,
      pages_restored: status?.restoredPages ?? 0,
      pages_mismatched: status?.mismatchedPages ?? 0,
      pages_unreadable: status?.unreadablePages ?? 0,
      pages_cancelled: status?.cancelledPages ?? 0,
      pages_sent_after_all: this.#sentAfterAll,
      pages_pending: status?.pendingPages ?? 0,
      qemu_bytes: this.#injector?.reader.counters.bytes ?? 0,
      migration_link_bytes: this.#connection.sentBytes,
      migration_link_back_bytes: this.#connection.receivedBytes,
      storage_link_bytes: status?.storageBytes ?? 0,
      compression_ratio: this.#connection.compressionRatio,
      restore_rate_bytes_per_second: Math.round(this.#schedule.settledPagesPerSecond * pageSizeBytes),
      ...processCounters(),
    };
  }
}

function nameOf(source: PageSource | undefined): string {
  if (source === undefined) return '';
  return source.kind === 'disk' ? source.disk : `${source.fileSystem}:${source.path}`;
}

function interruption(): Error & { readonly code: string } {
  return Object.assign(new Error('interrupted'), { code: 'interrupted' });
}
