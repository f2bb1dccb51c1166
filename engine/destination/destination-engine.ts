/**
 * The destination engine: the only writer of the target QEMU's incoming stream. It relays what the source engine sends and
 * adds pages that it reads from shared storage. docs/engine.md says why the guest's memory arrives complete.
 */
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import {
  type DestinationAction,
  type DestinationEnd,
  type DestinationEvent,
  type DestinationState,
  destinationStart,
  stepDestination,
} from '../core/destination-switchover.ts';
import type { EngineOptions, EngineOutcome } from '../core/engine-options.ts';
import { type Wait, WaitWatch, defaultLimits } from '../core/wait-watch.ts';
import { PageHasher } from '../list/content-hash.ts';
import { pageSizeBytes } from '../list/page-list.ts';
import type { EngineCounters } from '../core/engine-event.ts';
import { RestorePlan } from '../core/restore-plan.ts';
import { Restorer, type RestoreSink } from './restorer.ts';
import type { StoragePlace } from '../storage/storage-place.ts';
import { limitedReader, type StorageReader } from '../storage/storage-reader.ts';
import type { EngineConnection } from '../wire/connection.ts';
import type { FrameType } from '../wire/frame.ts';
import { defaultLiveness, type Liveness } from '../wire/hello.ts';
import { decodeMessage, encodeMessage, messageSchemas, type Sources } from '../wire/messages.ts';
import type { PeerSecurity } from '../wire/peer-security.ts';
import { decodePlanPart, encodeAsk, maxAskedPages, type PageName } from '../wire/plan-codec.ts';
import { destinationCounters, StorageRate } from './destination-report.ts';
import { inDoubtAtDestination, signalRefused } from '../core/advice.ts';
import { openSources } from './open-sources.ts';
import { type SourceHandler, SourceListener } from './source-listener.ts';
import { StatusReport, statusMs } from '../core/status-report.ts';
import { TargetConnection } from './target-connection.ts';
import { TargetStream } from './target-stream.ts';

const progressMs = 200;
/** The source engine has all that it needs; it is given this time to end its connection. */
const closeMs = 5000;

export interface DestinationOptions extends EngineOptions {
  readonly listen: { readonly host: string; readonly port: number };
  /** Unix socket on which the target QEMU waits (`-incoming unix:PATH`, or migrate-incoming). */
  readonly incomingPath: string;
  readonly storage: readonly StoragePlace[];
  /** How the source engine is known. */
  readonly security: PeerSecurity;
  readonly liveness?: Liveness;
}

/** Serves one migration; settles when it is over. */
export function runDestination(options: DestinationOptions): Promise<EngineOutcome> {
  return new DestinationEngine(options).run();
}

/** What there is of a migration, which grows with it. */
type Parts =
  | { readonly are: 'none' }
  /** The source engine has greeted. */
  | { readonly are: 'link'; readonly connection: EngineConnection }
  /** QEMU has begun to send. */
  | {
      readonly are: 'all';
      readonly connection: EngineConnection;
      readonly target: TargetConnection;
      readonly stream: TargetStream;
      readonly restorer: Restorer;
      readonly status: StatusReport;
      readonly statusTimer: NodeJS.Timeout;
    };

class DestinationEngine implements SourceHandler, RestoreSink {
  readonly #options: DestinationOptions;
  readonly #listener: SourceListener;
  readonly #plan = new RestorePlan();
  readonly #rate = new StorageRate();
  readonly #waits = new WaitWatch();
  #state: DestinationState = destinationStart;
  #finish: (outcome: EngineOutcome) => void = () => undefined;
  #parts: Parts = { are: 'none' };
  #readers: (StorageReader | undefined)[] = [];
  /** There once the source has named its list's sources. */
  #hasher: PageHasher | undefined;
  #readFailed = false;
  #isSilent = false;
  #progress: NodeJS.Timeout | undefined;

  constructor(options: DestinationOptions) {
    this.#options = {
      ...options,
      // Nothing is said after the last word.
      onEvent: (event) => {
        if (!this.#isSilent) options.onEvent(event);
      },
    };
    this.#listener = new SourceListener({ liveness: defaultLiveness, ...options }, this);
  }

  run(): Promise<EngineOutcome> {
    const { listen, interrupts } = this.#options;
    return new Promise((resolve) => {
      this.#finish = resolve;
      const interrupt = (): void => {
        this.#step({ type: 'interrupted' });
      };
      this.#listener.listen(listen.host, listen.port);
      this.#progress = setInterval(() => {
        this.#tick();
      }, progressMs);
      interrupts?.subscribe(interrupt);
    });
  }

  listening(address: string): void {
    this.#options.onEvent({ event: 'listening', address });
  }

  greeted(connection: EngineConnection, peer: string, compression: 'none' | 'zstd'): void {
    this.#parts = { are: 'link', connection };
    this.#options.onEvent({ event: 'connected', peer, compression });
  }

  takeFrame(type: FrameType, payload: Buffer): void {
    switch (type) {
      case 'stream':
        this.#begin();
        this.#serving?.stream.push(payload);
        return;
      case 'commit':
        this.#step({ type: 'commit' });
        return;
      case 'sources':
        this.#openSources(decodeMessage(messageSchemas.sources, payload));
        return;
      case 'plan': {
        const part = decodePlanPart(payload);
        const block = this.#serving?.stream.injector.reader.blocks[part.blockIndex];
        const reader = this.#readers[part.sourceIndex];
        if (block === undefined || reader === undefined) {
          throw new CodedError(
            'wire',
            'malformed',
            'the plan names a RAM block or a source that is not there',
          );
        }
        this.#plan.add(part, block.pageCount, Math.floor(reader.sizeBytes / pageSizeBytes));
        return;
      }
      default:
        throw new CodedError('wire', 'malformed', `the source sent "${type}"`);
    }
  }

  /** QEMU has begun to send: connects to the target. What is written before that is done waits in the socket. */
  #begin(): void {
    if (this.#state.is !== 'preparing' || this.#parts.are !== 'link') return;
    const { connection } = this.#parts;
    const { incomingPath, onEvent } = this.#options;
    const restorer = new Restorer(this.#plan, this.#readers, () => this.#keyedHasher, this);
    const target: TargetConnection = new TargetConnection(incomingPath, () => stream.hasReturnPath, {
      returnPath: (bytes) => {
        connection.send('returnPath', bytes);
      },
      room: () => {
        this.#guarded(() => {
          connection.resumeReading();
          restorer.pump();
        });
      },
      started: () => {
        this.#step({ type: 'target-started' });
      },
      failed: (why) => {
        this.#step({ type: 'target-failed', why });
      },
      endedSilently: (why) => {
        this.#step({ type: 'target-silent-end', why });
      },
      malformed: (error) => {
        this.fail(error);
      },
    });
    const status = new StatusReport(
      this.#plan,
      () => restorer.storageBytes,
      (counts) => {
        connection.send('status', encodeMessage(counts));
      },
    );
    const stream = new TargetStream(this.#plan, target.output, this.#options.vm, onEvent);
    const statusTimer = setInterval(() => {
      this.#guarded(() => {
        status.send();
      });
    }, statusMs);
    this.#parts = { are: 'all', connection, target, stream, restorer, status, statusTimer };
    this.#step({ type: 'stream-begins' });
  }

  afterBatch(): void {
    if (this.#isOver || this.#parts.are !== 'all') return;
    const { connection, target, restorer, status } = this.#parts;
    const { output } = target;
    restorer.pump();
    const takenBytes = connection.receivedBytes;
    output.flush(() => {
      connection.acknowledge(takenBytes);
    });
    if (!output.hasRoom) connection.pauseReading();
    status.sendIfNothingPends();
  }

  get #connection(): EngineConnection | undefined {
    return this.#parts.are === 'none' ? undefined : this.#parts.connection;
  }

  /** Undefined before QEMU has begun to send. */
  get #serving(): Extract<Parts, { are: 'all' }> | undefined {
    return this.#parts.are === 'all' ? this.#parts : undefined;
  }

  #openSources({ sources, hashKey }: Sources): void {
    if (this.#hasher !== undefined)
      throw new CodedError('wire', 'malformed', 'the source names sources twice');
    this.#hasher = new PageHasher(Buffer.from(hashKey, 'hex'));
    openSources(sources, this.#options.storage, this.#options.onEvent)
      .then(({ readers, answer }) => {
        const { storageMs } = this.#options.limits ?? defaultLimits;
        this.#readers.push(
          ...readers.map((reader) => (reader === undefined ? undefined : limitedReader(reader, storageMs))),
        );
        this.#connection?.send('storage', encodeMessage(answer));
        if (this.#isOver) this.#closeReaders();
      })
      .catch((error: unknown) => {
        this.fail(error);
      });
  }

  get #keyedHasher(): PageHasher {
    // A plan without sources is refused.
    if (this.#hasher === undefined) throw new Error('no key for the hashes of the plan');
    return this.#hasher;
  }

  get canTake(): boolean {
    const serving = this.#serving;
    return serving?.stream.injector.canInject === true && serving.target.output.hasRoomBeside;
  }

  take(blockIndex: number, page: number, buffer: Buffer, offset: number): void {
    this.#serving?.stream.injector.injectPage(blockIndex, page, buffer, offset);
  }

  taken(): void {
    this.#serving?.stream.injector.closeSection();
    this.#serving?.target.output.flush();
    this.#serving?.status.sendIfNothingPends();
  }

  ask(pages: readonly PageName[]): void {
    for (let i = 0; i < pages.length; i += maxAskedPages) {
      this.#connection?.send('ask', encodeAsk(pages.slice(i, i + maxAskedPages)));
    }
  }

  readFailed(error: unknown): void {
    if (this.#readFailed || this.#isOver) return;
    this.#readFailed = true;
    this.#options.onEvent({
      event: 'read-failed',
      reason: error instanceof Error ? error.message : String(error),
    });
  }

  get targetNeverRuns(): boolean {
    switch (this.#state.is) {
      case 'preparing':
      case 'moving':
        return true;
      case 'committing':
      case 'in-doubt':
        return this.#undelivered;
      case 'closing':
        return false;
      case 'over':
        return this.#state.end.at === 'source' || this.#state.end.at === 'source-cancelled';
    }
  }

  sourceClosed(error: Error | undefined): void {
    const why = error ?? new CodedError('wire', 'closed', 'the source ended the connection');
    if (!isCoded(why, 'wire')) this.fail(why);
    else if (why.code === 'peer-aborted') {
      this.#step({ type: 'source-aborted', why, undelivered: this.#undelivered });
    } else if (why.code === 'closed' || why.code === 'timeout') this.#step({ type: 'link-closed', why });
    else this.fail(why);
  }

  fail(cause: unknown): void {
    const why = cause instanceof Error ? cause : new Error(String(cause));
    this.#step({ type: 'failed', why, undelivered: this.#undelivered });
  }

  get #undelivered(): boolean {
    return this.#serving?.target.output.undelivered === true;
  }

  get #isOver(): boolean {
    return this.#state.is === 'over';
  }

  #guarded(body: () => void): void {
    if (this.#isOver) return;
    try {
      body();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Every 200 ms. */
  #tick(): void {
    if (this.#serving !== undefined) {
      this.#rate.sample(this.#serving.restorer.storageBytes, performance.now());
      this.#options.onEvent({ event: 'progress', ...this.#counters() });
    }
    const verdict = this.#waits.update(this.#wait, performance.now());
    if (verdict.is === 'quiet') return;
    const { what, limitMs = 0 } = verdict.wait;
    const seconds = Math.round(verdict.waitedMs / 1000);
    this.#options.onEvent({ event: 'waiting-for', what, seconds, limit_seconds: limitMs / 1000 });
    if (verdict.is === 'limit') {
      const why = new CodedError('destination', 'limit', `nothing was heard of ${what} for ${seconds} s`);
      this.#step({ type: 'limit', why, undelivered: this.#undelivered });
    }
  }

  /** What cannot go on by itself now. */
  get #wait(): Wait | undefined {
    const { switchoverMs, stallMs } = this.#options.limits ?? defaultLimits;
    switch (this.#state.is) {
      case 'preparing':
        return { what: this.#connection === undefined ? 'the source engine' : "the source's QEMU" };
      case 'moving': {
        const output = this.#serving?.target.output;
        if (output?.hasRoom === false) {
          return { what: 'the target QEMU to read', limitMs: stallMs, progress: output.writtenBytes };
        }
        if (this.#plan.pendingPages === 0) return undefined;
        // The source ends a migration whose storage stalls for good.
        return {
          what: 'storage',
          progress: this.#plan.pendingPages + (this.#serving?.restorer.storageBytes ?? 0),
        };
      }
      case 'committing':
      case 'in-doubt':
        return { what: "the target QEMU's word that it has everything", limitMs: switchoverMs };
      case 'closing':
        return { what: 'the source engine to end', limitMs: closeMs };
      case 'over':
        return undefined;
    }
  }

  #step(event: DestinationEvent): void {
    const before = this.#state;
    if (before.is === 'over') return;
    const { state, actions } = stepDestination(before, event);
    this.#state = state;
    for (const action of actions) this.#act(action);
    if (state.is === 'over') this.#over(state.end);
  }

  #act(action: DestinationAction): void {
    const { onEvent } = this.#options;
    switch (action.do) {
      case 'release':
        onEvent({ event: 'committed' });
        this.#serving?.target.output.release();
        return;
      case 'say-started':
        onEvent({ event: 'started' });
        this.#connection?.send('started', Buffer.alloc(0));
        return;
      case 'drop-target':
        this.#serving?.target.destroy();
        return;
      case 'abort':
      case 'abort-in-doubt':
        this.#connection?.abort(action.why);
        return;
      case 'say-in-doubt':
        onEvent({ event: 'in-doubt', reason: action.why.message, advice: inDoubtAtDestination });
        return;
      case 'refuse-signal':
        onEvent({ event: 'signal-refused', reason: signalRefused });
    }
  }

  #over(end: DestinationEnd): void {
    const { onEvent } = this.#options;
    clearInterval(this.#serving?.statusTimer);
    clearInterval(this.#progress);
    this.#listener.close();
    this.#serving?.restorer.stop();
    switch (end.at) {
      case 'destination':
        onEvent({ event: 'done', ...this.#counters() });
        this.#finish({ result: 'migrated' });
        break;
      case 'source': {
        const error: Error & { readonly code?: string } = end.why;
        onEvent({ event: 'progress', ...this.#counters() });
        onEvent({
          event: 'failed',
          code: error.code ?? 'failed',
          reason: error.message,
          peer: isCoded(error, 'wire') && error.code === 'peer-aborted',
        });
        this.#finish({ result: 'failed', error });
        break;
      }
      case 'source-cancelled':
        onEvent({ event: 'cancelled' });
        this.#finish({ result: 'cancelled' });
        break;
      case 'in-doubt':
        this.#finish({ result: 'in-doubt', error: end.why });
    }
    this.#isSilent = true;
    this.#serving?.target.destroy();
    this.#closeReaders();
    this.#connection?.end();
  }

  #closeReaders(): void {
    for (const reader of new Set(this.#readers.splice(0))) {
      reader?.close().catch(() => undefined);
    }
  }

  #counters(): EngineCounters {
    const output = this.#serving?.target.output;
    return destinationCounters(this.#plan, this.#rate, this.#serving?.restorer, output, this.#connection);
  }
}
