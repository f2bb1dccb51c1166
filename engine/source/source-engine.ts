/**
 * The source engine: stands between the source QEMU and the destination engine. It leaves pages out of QEMU's stream that
 * the destination can read from shared storage, sends what storage does not give, and holds the switch-over until nothing
 * is pending. docs/engine.md says why the guest's memory arrives complete.
 */
import { connect } from 'node:net';
import type { PageListAnswer } from '../pages/agent-client.ts';
import { pageSizeBytes } from '../pages/page-list.ts';
import {
  emptyCounters,
  type EngineCounters,
  type EventSink,
  processCounters,
} from '../restore/engine-event.ts';
import { Schedule, type Strategy } from '../restore/schedule.ts';
import { StreamInjector } from '../stream/injector.ts';
import { returnPathMessage } from '../stream/records.ts';
import { SwitchoverGate } from '../stream/return-path.ts';
import { EngineConnection } from '../wire/connection.ts';
import type { FrameType } from '../wire/frame.ts';
import { defaultLiveness, type Liveness, ownHello, takeHello } from '../wire/hello.ts';
import { decodeMessage, encodeMessage, messageSchemas, type RestoreStatus } from '../wire/messages.ts';
import { decodeAsk, encodePlanPart } from '../wire/plan-codec.ts';
import { SendWindow } from '../wire/send-window.ts';
import { WireError } from '../wire/wire-error.ts';
import { GuestPages } from './guest-pages.ts';
import type { GuestRamPlace } from './guest-ram.ts';
import { QemuConnection } from './qemu-connection.ts';
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
  /**
   * When to ask: as soon as QEMU begins to send, or before it can connect, so that storage is read from the first moment
   * with a list that is a little older. Default 'migrate'.
   */
  readonly listAt?: 'start' | 'migrate';
  readonly liveness?: Liveness;
  readonly onEvent: EventSink;
  /** Ends the migration: the source VM goes on. */
  readonly signal?: AbortSignal;
}

export type SourceOutcome =
  | { readonly result: 'migrated' }
  /** The VM runs on at the source. */
  | { readonly result: 'failed'; readonly error: Error }
  /** The target may run or not; QEMU was kept waiting, its VM stopped, until `signal` said to let go. */
  | { readonly result: 'in-doubt'; readonly error: Error };

const compressionLevel = 1;
const progressMs = 200;
/** QEMU that is silent for so long in its device state has said all, though the end was not recognised. */
const silentEndMs = 100;

/** Runs one migration; settles when it is over. */
export function runSource(options: SourceOptions): Promise<SourceOutcome> {
  return new SourceEngine(options).run();
}

type Phase =
  | { readonly is: 'greeting' }
  | { readonly is: 'waiting-for-qemu' }
  | { readonly is: 'migrating' }
  /** QEMU has sent everything, and the target may have it. */
  | { readonly is: 'committed' }
  /** The connection broke after that. */
  | { readonly is: 'in-doubt'; readonly error: Error }
  | { readonly is: 'over' };

class SourceEngine {
  readonly #options: SourceOptions;
  readonly #schedule: Schedule;
  readonly #window: SendWindow;
  readonly #abortList = new AbortController();
  readonly #streamEnd = new StreamEnd();
  readonly #connection: EngineConnection;
  readonly #batch: StreamBatch;
  readonly #injector: StreamInjector;
  readonly #pages: GuestPages;
  readonly #qemu: QemuConnection;
  readonly #gate = new SwitchoverGate((message) => {
    this.#toQemu(message);
  });
  #phase: Phase = { is: 'greeting' };
  #settle: (outcome: SourceOutcome) => void = () => undefined;
  #machine = '';
  /** The stream cannot be filtered: when it is complete is between the two QEMUs. */
  #passThrough = false;
  #inDeviceState = false;
  #status: RestoreStatus | undefined;
  #heldSinceMs: number | undefined;
  #gateOpened = false;
  /** All of RAM was read, and its end waits for the gate. */
  #endHeld = false;
  #qemuEnded = false;
  #returnPathEnded = false;
  /** What the target reported on the return path; 0 is success. */
  #targetStatus = 0;
  #advanceScheduled = false;
  #silence: NodeJS.Timeout | undefined;
  #progress: NodeJS.Timeout | undefined;

  constructor(options: SourceOptions) {
    this.#options = options;
    this.#schedule = new Schedule(options.strategy);
    this.#window = new SendWindow(!this.#schedule.gateOpen);
    this.#connection = this.#connect(options.liveness ?? defaultLiveness);
    this.#batch = new StreamBatch(this.#connection);
    this.#injector = this.#createInjector();
    const room = (): number => this.#room;
    this.#pages = new GuestPages(this.#schedule, options.ram, options.onEvent, {
      injector: this.#injector,
      sendPlan: (part) => {
        this.#batch.flush();
        this.#connection.send('plan', encodePlanPart(part), true);
      },
      get room() {
        return room();
      },
    });
    this.#qemu = this.#createQemuConnection();
  }

  run(): Promise<SourceOutcome> {
    const { signal } = this.#options;
    return new Promise((resolve) => {
      this.#settle = resolve;
      const interrupt = (): void => {
        this.#interrupted();
      };
      if (signal?.aborted === true) interrupt();
      signal?.addEventListener('abort', interrupt, { once: true });
    });
  }

  #connect(liveness: Liveness): EngineConnection {
    const { destination, vm } = this.#options;
    const own = ownHello('source', vm, liveness);
    const connection = new EngineConnection(connect({ host: destination.host, port: destination.port }), {
      ...liveness,
      onFrame: (type, payload) => {
        if (this.#phase.is !== 'greeting') {
          this.#takeFrame(type, payload);
          return;
        }
        if (type !== 'hello') throw new WireError('malformed', `the destination begins with "${type}"`);
        this.#greeted(takeHello(own, payload, liveness.timeoutMs).compression.includes('zstd'));
      },
      runsDry: (unacknowledgedBytes) => this.#window.runsDry(unacknowledgedBytes),
      onRoom: () => {
        const { acknowledgedBytes, outstandingBytes } = connection;
        const wanting = this.#qemu.waiting;
        this.#window.acknowledged(acknowledgedBytes, performance.now(), outstandingBytes, wanting);
        this.#scheduleAdvance();
      },
      onClosed: (error) => {
        this.#fail(error ?? new WireError('closed', 'the destination ended the connection'));
      },
    });
    connection.send('hello', encodeMessage(own));
    return connection;
  }

  #greeted(readsZstd: boolean): void {
    const { destination, onEvent } = this.#options;
    const compression = this.#options.compression === 'zstd' && readsZstd ? 'zstd' : 'none';
    if (compression === 'zstd') this.#connection.enableCompression(compressionLevel);
    this.#phase = { is: 'waiting-for-qemu' };
    onEvent({ event: 'connected', peer: `${destination.host}:${destination.port}`, compression });
    if (this.#options.listAt === 'start' && this.#schedule.waitsForList) {
      this.#requestList(() => {
        if (this.#phase.is === 'waiting-for-qemu') this.#qemu.listen();
      });
    } else {
      this.#qemu.listen();
    }
  }

  #createQemuConnection(): QemuConnection {
    const { listenPath, onEvent } = this.#options;
    return new QemuConnection(listenPath, {
      listening: () => {
        onEvent({ event: 'listening', address: `unix:${listenPath}` });
      },
      connected: () => {
        this.#phase = { is: 'migrating' };
        this.#progress = setInterval(() => {
          onEvent({ event: 'progress', ...this.#counters() });
        }, progressMs);
        if (this.#options.listAt !== 'start' && this.#schedule.waitsForList) this.#requestList();
      },
      chunk: (chunk) => this.#guarded(() => this.#takeFromQemu(chunk)) ?? false,
      ended: () => {
        this.#guarded(() => {
          this.#qemuHasEnded();
        });
      },
      failed: (error) => {
        // QEMU that is done may close as it likes.
        if (this.#phase.is === 'committed') {
          this.#guarded(() => {
            this.#qemuHasEnded();
          });
        } else {
          this.#fail(error);
        }
      },
    });
  }

  #createInjector(): StreamInjector {
    const { onEvent } = this.#options;
    return new StreamInjector(
      {
        configuration: ({ machine }) => {
          this.#machine = machine;
        },
        ramBlocks: (blocks) => {
          const pages = blocks.reduce((sum, { pageCount }) => sum + pageCount, 0);
          onEvent({
            event: 'qemu-connected',
            machine: this.#machine,
            ram_blocks: blocks.length,
            ram_pages: pages,
          });
          this.#pages.takeBlocks(blocks);
        },
        page: (blockIndex, page, buffer, offset) => this.#pages.pageRecord(blockIndex, page, buffer, offset),
        zeroPage: (blockIndex, page) => {
          this.#pages.zeroRecord(blockIndex, page);
        },
        ramSectionEnds: () => {
          this.#pages.partEnds();
        },
        deviceState: () => {
          this.#inDeviceState = true;
          onEvent({ event: 'switch-over' });
        },
        unsupported: (code, reason) => {
          onEvent({ event: 'stream-unfilterable', code, reason });
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
  }

  #requestList(onAnswer: () => void = () => undefined): void {
    const { requestList, ram, onEvent } = this.#options;
    if (requestList === undefined || ram === undefined) {
      this.#pages.giveUpList('not-asked', 'no agent or no guest memory was given');
      onAnswer();
      return;
    }
    requestList(this.#abortList.signal)
      .then(
        ({ list, listBytes, timings }) => {
          onEvent({
            event: 'listed',
            pages_listed: list.pageCount,
            list_bytes: listBytes,
            list_total_ms: timings.totalMs,
            list_find_ms: list.timings.findMs,
            list_translate_ms: list.timings.translateMs,
            list_map_ms: list.timings.mapMs,
            list_encode_ms: list.timings.encodeMs,
            list_send_ms: timings.sendMs,
            list_clean_ms: timings.cleanMs,
            server: `${list.server.product} ${list.server.version}`,
          });
          this.#pages.takeList(list);
          this.#connection.send('sources', encodeMessage({ sources: list.sources }), true);
        },
        (error: unknown) => {
          if (this.#phase.is === 'over') return;
          const { code, message } = error as Error & { readonly code?: string };
          this.#pages.giveUpList(code ?? 'failed', message);
          this.#scheduleAdvance();
        },
      )
      .then(onAnswer)
      .catch((error: unknown) => {
        this.#fail(error);
      });
  }

  /** Takes a chunk of QEMU's stream; returns whether to read on. */
  #takeFromQemu(chunk: Buffer): boolean {
    this.#pages.chunkComes(performance.now());
    if (!this.#injector.push(chunk)) this.#endHeld = true;
    this.#pages.chunkTaken();
    this.#updateGate();
    this.#scheduleAdvance();
    return this.#mayRead;
  }

  /** Looks for the end of QEMU's stream, upon which the target may get the last byte. */
  #watchEnd(deviceState: Buffer): void {
    clearTimeout(this.#silence);
    const complete = this.#streamEnd.push(deviceState);
    const commit = (): void => {
      this.#guarded(() => {
        this.#commit();
      });
    };
    this.#silence = setTimeout(commit, complete ? 0 : silentEndMs);
  }

  #commit(): void {
    if (this.#phase.is !== 'migrating') return;
    clearTimeout(this.#silence);
    this.#batch.flush();
    this.#connection.send('commit', Buffer.alloc(0));
    this.#phase = { is: 'committed' };
  }

  #qemuHasEnded(): void {
    if (this.#qemuEnded) return;
    this.#qemuEnded = true;
    if (this.#phase.is === 'migrating') {
      // The migration was cancelled, or failed: a stream that is not complete throws here.
      this.#injector.end();
      this.#commit();
    }
    this.#batch.flush();
    this.#connection.send('streamEnd', Buffer.alloc(0));
    this.#finishIfOver();
  }

  #takeFrame(type: FrameType, payload: Buffer): void {
    switch (type) {
      case 'storage':
        this.#pages.takeStorage(decodeMessage(messageSchemas.storage, payload));
        break;
      case 'status':
        this.#status = decodeMessage(messageSchemas.status, payload);
        this.#schedule.status(this.#status, performance.now());
        this.#pages.takeStatus(this.#status, performance.now());
        break;
      case 'ask':
        this.#pages.takeAsk(decodeAsk(payload));
        break;
      case 'returnPath':
        this.#gate.push(payload);
        break;
      case 'returnPathEnd':
        if (this.#phase.is === 'migrating' && !this.#passThrough) {
          throw new SourceError('target-failed', 'the target closed its connection in mid-migration');
        }
        this.#returnPathEnded = true;
        this.#qemu.end();
        this.#finishIfOver();
        break;
      default:
        throw new WireError('malformed', `the destination sent "${type}"`);
    }
    this.#scheduleAdvance();
  }

  #scheduleAdvance(): void {
    if (this.#advanceScheduled || this.#phase.is === 'over') return;
    this.#advanceScheduled = true;
    setImmediate(() => {
      this.#advanceScheduled = false;
      this.#guarded(() => {
        this.#advance();
      });
    });
  }

  /** Does what there is to do, a slice at a time. */
  #advance(): void {
    const more = this.#phase.is === 'migrating' && this.#pages.advance(this.#qemuHeld);
    this.#updateGate();
    this.#batch.flush();
    if (this.#mayRead) this.#qemu.readOn();
    if (more) this.#scheduleAdvance();
  }

  /** Share of the send window that is free. */
  get #room(): number {
    const waitingBytes = this.#batch.waitingBytes / this.#connection.compressionRatio;
    return 1 - (this.#connection.outstandingBytes + waitingBytes) / this.#window.limitBytes;
  }

  get #qemuHeld(): boolean {
    const agreementWithheld = this.#gate.state === 'ack-withheld';
    return this.#endHeld || this.#schedule.holdsQemu(agreementWithheld, this.#pages.almostThrough);
  }

  get #mayRead(): boolean {
    return !this.#qemuHeld && this.#room > 0;
  }

  #updateGate(): void {
    const { onEvent } = this.#options;
    if (!this.#schedule.gateOpen) {
      if (this.#heldSinceMs === undefined && this.#qemuHeld) {
        this.#heldSinceMs = performance.now();
        const by = this.#gate.state === 'ack-withheld' ? 'agreement-withheld' : 'stalled-reading';
        onEvent({ event: 'gate-held', by });
      }
      return;
    }
    if (!this.#gateOpened) {
      this.#gateOpened = true;
      this.#window.switchOverMayCome();
      this.#pages.checkComplete();
      const heldMs = this.#heldSinceMs === undefined ? 0 : performance.now() - this.#heldSinceMs;
      onEvent({ event: 'gate-released', held_ms: Math.round(heldMs) });
      this.#gate.open();
    }
    if (this.#endHeld) {
      this.#endHeld = false;
      this.#injector.release();
    }
  }

  #toQemu(message: Buffer): void {
    // Its word that the target has everything, or not (migration/migration.c, migrate_send_rp_shut).
    if (message.readUInt16BE(0) === returnPathMessage.shut && message.length >= 8) {
      this.#targetStatus = message.readUInt32BE(4);
    }
    this.#qemu.write(message);
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

  /** From the commit on the migration ends by itself in a moment, or is in doubt. */
  #interrupted(): void {
    if (this.#phase.is === 'in-doubt') this.#over({ result: 'in-doubt', error: this.#phase.error });
    else if (this.#phase.is !== 'committed') {
      this.#fail(Object.assign(new Error('interrupted'), { code: 'interrupted' }));
    }
  }

  #guarded<T>(body: () => T): T | undefined {
    if (this.#phase.is === 'over') return undefined;
    try {
      return body();
    } catch (error) {
      this.#fail(error);
      return undefined;
    }
  }

  #fail(cause: unknown): void {
    if (this.#phase.is === 'over' || this.#phase.is === 'in-doubt') return;
    const error: Error & { readonly code?: string } =
      cause instanceof Error ? cause : new Error(String(cause));
    if (this.#phase.is === 'committed' && !this.#returnPathEnded && !this.#targetHasFailed(error)) {
      // The target may have everything and run. Closing QEMU's connection would let the source VM run too, so that it
      // stays open, and the VM stopped, until somebody who has looked at the target ends this process.
      this.#phase = { is: 'in-doubt', error };
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

  /** The destination has seen the target fail, and QEMU still waits for the target's word. */
  #targetHasFailed(error: Error): boolean {
    return error instanceof WireError && error.peerCode === 'target-failed' && !this.#qemuEnded;
  }

  #over(outcome: SourceOutcome): void {
    this.#phase = { is: 'over' };
    clearTimeout(this.#silence);
    clearInterval(this.#progress);
    this.#abortList.abort();
    this.#qemu.stopListening();
    this.#pages.close();
    if (outcome.result === 'migrated') this.#connection.end();
    else this.#qemu.destroy();
    this.#settle(outcome);
  }

  #counters(): EngineCounters {
    const status = this.#status;
    const { counters } = this.#injector.reader;
    return {
      ...emptyCounters,
      pages_listed: this.#pages.listedPages,
      pages_planned: this.#pages.plannedPages,
      pages_left_out: counters.pagesLeftOut,
      pages_restored: status?.restoredPages ?? 0,
      pages_mismatched: status?.mismatchedPages ?? 0,
      pages_unreadable: status?.unreadablePages ?? 0,
      pages_cancelled: status?.cancelledPages ?? 0,
      pages_sent_after_all: this.#pages.sentAfterAllPages,
      pages_pending: status?.pendingPages ?? 0,
      qemu_bytes: counters.bytes,
      migration_link_bytes: this.#connection.sentBytes,
      migration_link_back_bytes: this.#connection.receivedBytes,
      storage_link_bytes: status?.storageBytes ?? 0,
      compression_ratio: this.#connection.compressionRatio,
      compression_ratio_total:
        this.#connection.sentBytes === 0 ? 1 : this.#connection.rawBytes / this.#connection.sentBytes,
      restore_rate_bytes_per_second: Math.round(this.#schedule.settledPagesPerSecond * pageSizeBytes),
      ...processCounters(),
    };
  }
}
