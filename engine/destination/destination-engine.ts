/**
 * The destination engine: the only writer of the target QEMU's incoming stream. It relays what the source engine sends and
 * adds pages that it reads from shared storage. docs/engine.md says why the guest's memory arrives complete.
 */
import { pageSizeBytes, type PageSource } from '../pages/page-list.ts';
import type { EngineCounters } from '../restore/engine-event.ts';
import { RestorePlan } from '../restore/restore-plan.ts';
import { Restorer, type RestoreSink } from '../restore/restorer.ts';
import type { StorageReader } from '../restore/storage-reader.ts';
import type { EngineConnection } from '../wire/connection.ts';
import type { FrameType } from '../wire/frame.ts';
import { defaultLiveness } from '../wire/hello.ts';
import { decodeMessage, encodeMessage, messageSchemas } from '../wire/messages.ts';
import { decodePlanPart, encodeAsk, maxAskedPages, type PageName } from '../wire/plan-codec.ts';
import { WireError } from '../wire/wire-error.ts';
import { DestinationError } from './destination-error.ts';
import type { DestinationOptions, DestinationOutcome } from './destination-options.ts';
import { destinationCounters, StorageRate } from './destination-report.ts';
import { openSources } from './open-sources.ts';
import { type SourceHandler, SourceListener } from './source-listener.ts';
import { StatusReport } from './status-report.ts';
import { TargetConnection } from './target-connection.ts';
import { TargetStream } from './target-stream.ts';

const statusMs = 25;
const progressMs = 200;

/** Serves one migration; settles when it is over. */
export function runDestination(options: DestinationOptions): Promise<DestinationOutcome> {
  return new DestinationEngine(options).run();
}

type Phase = 'waiting-for-source' | 'greeting' | 'migrating' | 'over';

class DestinationEngine implements SourceHandler, RestoreSink {
  readonly #options: DestinationOptions;
  readonly #listener: SourceListener;
  readonly #plan = new RestorePlan();
  readonly #rate = new StorageRate();
  #phase: Phase = 'waiting-for-source';
  #finish: (outcome: DestinationOutcome) => void = () => undefined;
  #connection: EngineConnection | undefined;
  #target: TargetConnection | undefined;
  #stream: TargetStream | undefined;
  #readers: (StorageReader | undefined)[] = [];
  #restorer: Restorer | undefined;
  #status: StatusReport | undefined;
  /** The source has vouched that the stream is complete: the last byte of it may go. */
  #committed = false;
  #readFailed = false;
  #streamEnded = false;
  #targetClosed = false;
  #statusTimer: NodeJS.Timeout | undefined;
  #progress: NodeJS.Timeout | undefined;

  constructor(options: DestinationOptions) {
    this.#options = options;
    this.#listener = new SourceListener(options.vm, options.liveness ?? defaultLiveness, this);
  }

  run(): Promise<DestinationOutcome> {
    const { listen, signal } = this.#options;
    return new Promise((resolve) => {
      this.#finish = resolve;
      const abort = (): void => {
        // After the commit the target has everything: it is over in a moment by itself.
        if (!this.#committed) this.fail(Object.assign(new Error('interrupted'), { code: 'interrupted' }));
      };
      if (signal?.aborted === true) abort();
      signal?.addEventListener('abort', abort, { once: true });
      this.#listener.listen(listen.host, listen.port);
    });
  }

  listening(address: string): void {
    this.#options.onEvent({ event: 'listening', address });
  }

  greeted(connection: EngineConnection, peer: string, compression: 'none' | 'zstd'): void {
    this.#connection = connection;
    this.#phase = 'greeting';
    this.#options.onEvent({ event: 'connected', peer, compression });
  }

  takeFrame(type: FrameType, payload: Buffer): void {
    switch (type) {
      case 'stream':
        this.#begin();
        this.#stream?.push(payload);
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
        const block = this.#stream?.injector.reader.blocks[part.blockIndex];
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
    const connection = this.#connection;
    if (this.#phase !== 'greeting' || connection === undefined) return;
    this.#phase = 'migrating';
    const { incomingPath, onEvent } = this.#options;
    const restorer = new Restorer(this.#plan, this.#readers, this);
    const target = new TargetConnection(incomingPath, {
      returnPath: (bytes) => {
        connection.send('returnPath', bytes);
      },
      room: () => {
        this.#guarded(() => {
          connection.resumeReading();
          restorer.pump();
        });
      },
      ended: () => {
        this.#guarded(() => {
          this.#targetEnded();
        });
      },
      failed: (error) => {
        this.fail(error);
      },
    });
    const status = new StatusReport(this.#plan, restorer, connection);
    this.#target = target;
    this.#stream = new TargetStream(this.#plan, target.output, onEvent);
    this.#restorer = restorer;
    this.#status = status;
    this.#statusTimer = setInterval(() => {
      this.#guarded(() => {
        status.send();
      });
    }, statusMs);
    this.#progress = setInterval(() => {
      this.#rate.sample(restorer.storageBytes, performance.now());
      onEvent({ event: 'progress', ...this.#counters() });
    }, progressMs);
  }

  afterBatch(): void {
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
    this.#status?.sendIfNothingPends();
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
    return this.#stream?.injector.canInject === true && this.#target?.output.hasRoomBeside === true;
  }

  take(blockIndex: number, page: number, buffer: Buffer, offset: number): void {
    this.#stream?.injector.injectPage(blockIndex, page, buffer, offset);
  }

  taken(): void {
    this.#stream?.injector.closeSection();
    this.#target?.output.flush();
    this.#status?.sendIfNothingPends();
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

  #targetEnded(): void {
    if (this.#targetClosed) return;
    this.#targetClosed = true;
    if (!this.#committed && this.#stream?.passesThrough !== true) {
      this.fail(
        new DestinationError('target-failed', 'the target QEMU closed its connection in mid-migration'),
      );
      return;
    }
    this.#connection?.send('returnPathEnd', Buffer.alloc(0));
    if (this.#connection?.isClosed === true) this.#done();
  }

  sourceClosed(error: Error | undefined): void {
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

  #guarded(body: () => void): void {
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
    this.#listener.close();
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

  #counters(): EngineCounters {
    const output = this.#target?.output;
    return destinationCounters(this.#plan, this.#rate, this.#restorer, output, this.#connection);
  }
}
