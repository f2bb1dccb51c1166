/**
 * The destination engine: the only writer of the target QEMU's incoming stream. It relays what the source engine sends and
 * adds pages that it reads from shared storage. docs/engine.md says why the guest's memory arrives complete.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { pageSizeBytes, type PageSource } from '../pages/page-list.ts';
import {
  emptyCounters,
  type EngineCounters,
  type EventSink,
  processCounters,
} from '../restore/engine-event.ts';
import { RestorePlan } from '../restore/restore-plan.ts';
import { Restorer, type RestoreSink } from '../restore/restorer.ts';
import type { StoragePlace } from '../restore/storage-place.ts';
import type { StorageReader } from '../restore/storage-reader.ts';
import { StreamInjector } from '../stream/injector.ts';
import { EngineConnection } from '../wire/connection.ts';
import type { FrameType } from '../wire/frame.ts';
import { defaultLiveness, type Liveness, ownHello, takeHello } from '../wire/hello.ts';
import { decodeMessage, encodeMessage, messageSchemas, type RestoreStatus } from '../wire/messages.ts';
import { decodePlanPart, encodeAsk, maxAskedPages, type PageName } from '../wire/plan-codec.ts';
import { WireError } from '../wire/wire-error.ts';
import { DestinationError } from './destination-error.ts';
import { openSources } from './open-sources.ts';
import { TargetConnection } from './target-connection.ts';

export interface DestinationOptions {
  readonly listen: { readonly host: string; readonly port: number };
  /** Unix socket on which the target QEMU waits (`-incoming unix:PATH`, or migrate-incoming). */
  readonly incomingPath: string;
  readonly storage: readonly StoragePlace[];
  readonly vm?: string;
  readonly liveness?: Liveness;
  readonly onEvent: EventSink;
  /** Ends the migration: the target fails, the source VM goes on. */
  readonly signal?: AbortSignal;
}

export type DestinationOutcome =
  | { readonly result: 'migrated' }
  /** The target did not get the whole stream. */
  | { readonly result: 'failed'; readonly error: Error };

const statusMs = 25;
const progressMs = 200;

/** Serves one migration; settles when it is over. */
export function runDestination(options: DestinationOptions): Promise<DestinationOutcome> {
  return new DestinationEngine(options).run();
}

type Phase = 'waiting-for-source' | 'greeting' | 'migrating' | 'over';

class DestinationEngine implements RestoreSink {
  readonly #options: DestinationOptions;
  readonly #liveness: Liveness;
  readonly #plan = new RestorePlan();
  #phase: Phase = 'waiting-for-source';
  #finish: (outcome: DestinationOutcome) => void = () => undefined;
  #server: Server | undefined;
  #connection: EngineConnection | undefined;
  #target: TargetConnection | undefined;
  #injector: StreamInjector | undefined;
  #readers: (StorageReader | undefined)[] = [];
  #restorer: Restorer | undefined;
  #machine = '';
  /** The source has vouched that the stream is complete: the last byte of it may go. */
  #committed = false;
  #readFailed = false;
  #streamEnded = false;
  #targetClosed = false;
  /** The last status sent, to send only what is new. */
  #sentStatus = '';
  #sentPendingPages = 0;
  #statusTimer: NodeJS.Timeout | undefined;
  #progress: NodeJS.Timeout | undefined;
  #rate = { atMs: 0, bytes: 0, bytesPerSecond: 0 };

  constructor(options: DestinationOptions) {
    this.#options = options;
    this.#liveness = options.liveness ?? defaultLiveness;
  }

  run(): Promise<DestinationOutcome> {
    const { listen, signal, onEvent } = this.#options;
    return new Promise((resolve) => {
      this.#finish = resolve;
      const abort = (): void => {
        // After the commit the target has everything: it is over in a moment by itself.
        if (!this.#committed) this.fail(Object.assign(new Error('interrupted'), { code: 'interrupted' }));
      };
      if (signal?.aborted === true) abort();
      signal?.addEventListener('abort', abort, { once: true });
      const server = createServer((socket) => {
        this.#sourceConnected(socket);
      });
      this.#server = server;
      server.on('error', (cause) => {
        this.fail(new DestinationError('listen-failed', `cannot listen: ${cause.message}`, cause));
      });
      server.listen(listen.port, listen.host, () => {
        const address = server.address();
        const port = typeof address === 'object' && address !== null ? address.port : listen.port;
        onEvent({ event: 'listening', address: `${listen.host}:${port}` });
      });
    });
  }

  /** Something that connects and does not greet, such as a port scan, is let go; the first that greets is the source. */
  #sourceConnected(socket: Socket): void {
    const peer = `${socket.remoteAddress ?? ''}:${socket.remotePort ?? 0}`;
    const own = ownHello('destination', this.#options.vm, this.#liveness);
    const connection = new EngineConnection(socket, {
      ...this.#liveness,
      onFrame: (type, payload) => {
        if (connection === this.#connection) {
          this.#takeFrame(type, payload);
          return;
        }
        if (type !== 'hello') throw new WireError('malformed', `the other engine begins with "${type}"`);
        if (this.#connection !== undefined)
          throw new WireError('incompatible', 'another migration is served');
        const other = takeHello(own, payload, this.#liveness.timeoutMs);
        this.#connection = connection;
        this.#server?.close();
        this.#phase = 'greeting';
        const compression = other.compression.includes('zstd') ? 'zstd' : 'none';
        this.#options.onEvent({ event: 'connected', peer, compression });
      },
      onBatch: () => {
        if (connection === this.#connection) this.#afterBatch();
      },
      onClosed: (error) => {
        if (connection === this.#connection) this.#sourceClosed(error);
      },
    });
    connection.send('hello', encodeMessage(own));
  }

  #takeFrame(type: FrameType, payload: Buffer): void {
    switch (type) {
      case 'stream':
        this.#begin();
        this.#takeStream(payload);
        return;
      case 'commit':
        this.#committed = true;
        if (this.#target !== undefined) this.#target.output.keepsLastByte = false;
        return;
      case 'streamEnd':
        this.#streamEnded = true;
        this.#target?.output.end();
        return;
      case 'sources':
        this.#openSources(decodeMessage(messageSchemas.sources, payload).sources);
        return;
      case 'plan': {
        const part = decodePlanPart(payload);
        const block = this.#injector?.reader.blocks[part.blockIndex];
        const reader = this.#readers[part.sourceIndex];
        if (block === undefined || reader === undefined) {
          throw new WireError('malformed', 'the plan names a RAM block or a source that is not there');
        }
        this.#plan.add(part, block.pageCount, Math.floor(reader.sizeBytes / pageSizeBytes));
        return;
      }
      default:
        throw new WireError('malformed', `the source sent "${type}"`);
    }
  }

  /** QEMU has begun to send: connects to the target. What is written before that is done waits in the socket. */
  #begin(): void {
    if (this.#phase !== 'greeting') return;
    this.#phase = 'migrating';
    const { incomingPath, onEvent } = this.#options;
    const target = new TargetConnection(incomingPath, {
      returnPath: (bytes) => {
        this.#connection?.send('returnPath', bytes);
      },
      room: () => {
        this.guarded(() => {
          this.#connection?.resumeReading();
          this.#restorer?.pump();
        });
      },
      ended: () => {
        this.guarded(() => {
          this.#targetEnded();
        });
      },
      failed: (error) => {
        this.fail(error);
      },
    });
    this.#target = target;
    const { output } = target;
    this.#injector = new StreamInjector(
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
        },
        page: (blockIndex, page) => {
          this.#plan.supersede(blockIndex, page);
          return true;
        },
        zeroPage: (blockIndex, page) => {
          this.#plan.supersede(blockIndex, page);
        },
        deviceState: () => {
          output.keepsLastByte = true;
          onEvent({ event: 'switch-over' });
        },
        unsupported: (code, reason) => {
          onEvent({ event: 'stream-unfilterable', code, reason });
        },
      },
      (buffer, start, end) => {
        output.add(buffer, start, end);
      },
      { holdAtEnd: true },
    );
    this.#restorer = new Restorer(this.#plan, this.#readers, this);
    this.#statusTimer = setInterval(() => {
      this.guarded(() => {
        this.#sendStatus();
      });
    }, statusMs);
    this.#progress = setInterval(() => {
      this.#sampleRate();
      onEvent({ event: 'progress', ...this.#counters() });
    }, progressMs);
  }

  #takeStream(payload: Buffer): void {
    const injector = this.#injector;
    if (injector === undefined || injector.push(payload)) return;
    // The source releases the end of RAM only when nothing is pending. If it were otherwise, memory would be incomplete.
    if (this.#plan.pendingPages > 0) {
      throw new DestinationError('incomplete', `RAM ends with ${this.#plan.pendingPages} pages pending`);
    }
    injector.release();
  }

  #afterBatch(): void {
    if (this.#phase !== 'migrating') return;
    this.#restorer?.pump();
    const connection = this.#connection;
    const output = this.#target?.output;
    if (connection === undefined || output === undefined) return;
    const takenBytes = connection.receivedBytes;
    output.flush(() => {
      connection.acknowledge(takenBytes);
    });
    if (!output.hasRoom) connection.pauseReading();
    this.#tellIfNothingPends();
  }

  #openSources(sources: readonly PageSource[]): void {
    openSources(sources, this.#options.storage, this.#options.onEvent)
      .then(({ readers, answer }) => {
        this.#readers.push(...readers);
        this.#connection?.send('storage', encodeMessage(answer));
        if (this.#phase === 'over') this.#closeReaders();
      })
      .catch((error: unknown) => {
        this.fail(error);
      });
  }

  get canTake(): boolean {
    return this.#injector?.canInject === true && this.#target?.output.hasRoomBeside === true;
  }

  take(blockIndex: number, page: number, buffer: Buffer, offset: number): void {
    this.#injector?.injectPage(blockIndex, page, buffer, offset);
  }

  taken(): void {
    this.#injector?.closeSection();
    this.#target?.output.flush();
    this.#tellIfNothingPends();
  }

  ask(pages: readonly PageName[]): void {
    for (let i = 0; i < pages.length; i += maxAskedPages) {
      this.#connection?.send('ask', encodeAsk(pages.slice(i, i + maxAskedPages)));
    }
  }

  readFailed(error: unknown): void {
    if (this.#readFailed) return;
    this.#readFailed = true;
    this.#options.onEvent({
      event: 'read-failed',
      reason: error instanceof Error ? error.message : String(error),
    });
  }

  /** The source waits for it with the switch-over. */
  #tellIfNothingPends(): void {
    if (this.#plan.pendingPages === 0 && this.#sentPendingPages > 0) this.#sendStatus();
  }

  #sendStatus(): void {
    if (this.#plan.receivedPages === 0) return;
    const restorer = this.#restorer;
    const status: RestoreStatus = {
      receivedPages: this.#plan.receivedPages,
      pendingPages: this.#plan.pendingPages,
      cursorPages: this.#plan.cursorPages,
      cancelledPages: this.#plan.cancelledPages,
      restoredPages: restorer?.restoredPages ?? 0,
      mismatchedPages: restorer?.mismatchedPages ?? 0,
      unreadablePages: restorer?.unreadablePages ?? 0,
      storageBytes: restorer?.storageBytes ?? 0,
    };
    const payload = encodeMessage(status);
    const text = payload.toString();
    if (text === this.#sentStatus) return;
    this.#sentStatus = text;
    this.#sentPendingPages = status.pendingPages;
    this.#connection?.send('status', payload);
  }

  #targetEnded(): void {
    if (this.#targetClosed) return;
    this.#targetClosed = true;
    if (!this.#committed && this.#injector?.reader.position !== 'pass-through') {
      this.fail(
        new DestinationError('target-failed', 'the target QEMU closed its connection in mid-migration'),
      );
      return;
    }
    this.#connection?.send('returnPathEnd', Buffer.alloc(0));
    if (this.#connection?.isClosed === true) this.#done();
  }

  #sourceClosed(error: Error | undefined): void {
    if (this.#targetClosed && (this.#streamEnded || this.#committed)) {
      this.#done();
    } else if (this.#committed) {
      // The target has everything, or will have it with what waits here; the source counts on that.
      this.#streamEnded = true;
      this.#target?.output.end();
    } else {
      this.fail(error ?? new WireError('closed', 'the source ended the connection'));
    }
  }

  #done(): void {
    if (this.#phase === 'over') return;
    this.#options.onEvent({ event: 'done', ...this.#counters() });
    this.#over({ result: 'migrated' });
  }

  guarded(body: () => void): void {
    if (this.#phase === 'over') return;
    try {
      body();
    } catch (error) {
      this.fail(error);
    }
  }

  fail(cause: unknown): void {
    if (this.#phase === 'over') return;
    const error: Error & { readonly code?: string } =
      cause instanceof Error ? cause : new Error(String(cause));
    const peer = error instanceof WireError && error.code === 'peer-aborted';
    this.#options.onEvent({ event: 'progress', ...this.#counters() });
    this.#options.onEvent({ event: 'failed', code: error.code ?? 'failed', reason: error.message, peer });
    this.#over({ result: 'failed', error });
    this.#connection?.abort(error);
  }

  #over(outcome: DestinationOutcome): void {
    this.#phase = 'over';
    clearInterval(this.#statusTimer);
    clearInterval(this.#progress);
    this.#server?.close();
    this.#restorer?.stop();
    this.#target?.destroy();
    this.#closeReaders();
    this.#finish(outcome);
  }

  #closeReaders(): void {
    for (const reader of this.#readers.splice(0)) {
      reader?.close().catch(() => undefined);
    }
  }

  #sampleRate(): void {
    const bytes = this.#restorer?.storageBytes ?? 0;
    const nowMs = performance.now();
    const { atMs, bytes: before } = this.#rate;
    this.#rate = { atMs: nowMs, bytes, bytesPerSecond: ((bytes - before) / (nowMs - atMs)) * 1000 };
  }

  #counters(): EngineCounters {
    return {
      ...emptyCounters,
      pages_planned: this.#plan.receivedPages,
      pages_restored: this.#restorer?.restoredPages ?? 0,
      pages_mismatched: this.#restorer?.mismatchedPages ?? 0,
      pages_unreadable: this.#restorer?.unreadablePages ?? 0,
      pages_cancelled: this.#plan.cancelledPages,
      pages_pending: this.#plan.pendingPages,
      qemu_bytes: this.#target?.output.writtenBytes ?? 0,
      migration_link_bytes: this.#connection?.receivedBytes ?? 0,
      migration_link_back_bytes: this.#connection?.sentBytes ?? 0,
      storage_link_bytes: this.#restorer?.storageBytes ?? 0,
      restore_rate_bytes_per_second: Math.round(this.#rate.bytesPerSecond),
      ...processCounters(),
    };
  }
}
