/**
 * The destination engine: the only writer of the target QEMU's incoming stream. It relays what the source engine sends and
 * adds pages that it reads from shared storage. docs/engine-design.md says why the guest's memory arrives complete.
 */
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import type { ProcessIdentity } from '../../foundation/process-identity.ts';
import { IdleTime } from '../../foundation/processor-time.ts';
import { inDoubtAtDestination, incompleteAtDestination, signalRefused } from '../core/advice.ts';
import {
  type DestinationAction,
  type DestinationEvent,
  type DestinationState,
  destinationStart,
  stepDestination,
  targetNeverRuns,
} from '../core/destination-switchover.ts';
import type { EngineCounters, EventSink } from '../core/engine-event.ts';
import { conclude, type EngineEnd, type EngineOptions, type EngineOutcome } from '../core/engine-options.ts';
import type { TargetRamSource } from '../core/outside.ts';
import { RestorePlan } from '../core/restore-plan.ts';
import { loadMs } from '../core/scarcity.ts';
import { StatusReport, statusMs } from '../core/status-report.ts';
import { defaultLimits, type Wait, WaitWatch } from '../core/wait-watch.ts';
import { pageSizeBytes } from '../list/page-list.ts';
import type { StoragePlace } from '../storage/storage-place.ts';
import type { EngineConnection } from '../wire/connection.ts';
import type { FrameType } from '../wire/frame.ts';
import { encodePageRequest } from '../stream/return-path.ts';
import { defaultLiveness, type Liveness } from '../wire/hello.ts';
import { decodeMessage, encodeMessage, messageSchemas, type Sources } from '../wire/messages.ts';
import type { PeerSecurity } from '../wire/peer-security.ts';
import type { RamBlock } from '../stream/handler.ts';
import {
  decodePlanPart,
  encodeAsk,
  maxAskedPages,
  type PageName,
  type PlanPart,
} from '../wire/plan-codec.ts';
import { destinationCounters, StorageRate } from './destination-report.ts';
import { mayGetHugePages } from './huge-pages.ts';
import { ListedStorage } from './listed-storage.ts';
import { Restorer, type RestoreSink } from './restorer.ts';
import { type SourceHandler, SourceListener } from './source-listener.ts';
import { TargetConnection } from './target-connection.ts';
import { TargetStream } from './target-stream.ts';

const progressMs = 200;
/** The source engine has all that it needs; it is given this time to end its connection, longer than either bears the other's silence. */
const closeMs = 15_000;

interface DestinationOptions extends EngineOptions {
  readonly listen: { readonly host: string; readonly port: number };
  /** Unix socket on which the target QEMU waits (`-incoming unix:PATH`, or migrate-incoming). */
  readonly incomingPath: string;
  readonly storage: readonly StoragePlace[];
  /** Opens the target's memory; undefined: all pages go into its stream. */
  readonly targetRam?: () => TargetRamSource;
  /** How the source engine is known. */
  readonly security: PeerSecurity;
  readonly liveness?: Liveness;
  /** Early resume: keeps it where it is found if this engine dies, and settles when it is there. */
  readonly keepForRecovery?: (rest: RestOnStorage) => Promise<void>;
}

/** All that the target of an early resume misses, and how the stream to it names its parts. */
export interface RestOnStorage extends Sources {
  /** Undefined where it cannot be seen. */
  readonly target: ProcessIdentity | undefined;
  readonly ramSectionId: number;
  readonly blocks: readonly RamBlock[];
  readonly parts: Iterable<PlanPart>;
}

/** Serves one migration; settles when it is over. */
export function runDestination(options: DestinationOptions): Promise<EngineOutcome> {
  return new DestinationEngine(options).run();
}

/** There is a source engine. */
interface Link {
  readonly connection: EngineConnection;
  readonly storage: ListedStorage;
}

/** Its QEMU has begun to send. */
interface Serving extends Link {
  readonly plan: RestorePlan;
  readonly target: TargetConnection;
  readonly stream: TargetStream;
  readonly restorer: Restorer;
  readonly rate: StorageRate;
  readonly status: StatusReport;
  readonly timers: readonly NodeJS.Timeout[];
  /** Early resume: the source was told that it is not needed. */
  sourceFree: boolean;
  /** What is on storage was put down, so that it is found if this engine dies, too. */
  kept: 'no' | 'under-way' | 'yes';
  /** Written to the target when storage had all the rest; undefined where it has not. */
  handedOnBytes: number | undefined;
  /** The stream was ended in the place of the source. */
  ended: boolean;
}

const nothingKept = { sourceFree: false, kept: 'no', handedOnBytes: undefined, ended: false } as const;

interface Parts {
  readonly link: Link;
  readonly serving: Serving;
}

type State = DestinationState<Parts>;

function linkOf(state: State): Link | undefined {
  return state.is === 'greeting' || state.is === 'over' ? undefined : state.parts;
}

function servingOf(state: State): Serving | undefined {
  return state.is === 'greeting' || state.is === 'preparing' || state.is === 'over' ? undefined : state.parts;
}

class DestinationEngine implements SourceHandler, RestoreSink {
  readonly #options: DestinationOptions;
  /** For the engine's parts, which have no word after its last. */
  readonly #onEvent: EventSink;
  readonly #listener: SourceListener;
  readonly #waits = new WaitWatch();
  readonly #outcome = Promise.withResolvers<EngineOutcome>();
  readonly #ticks: NodeJS.Timeout;
  #state: State = destinationStart;
  /** The stream that comes becomes post-copy. */
  #early = false;

  constructor(options: DestinationOptions) {
    this.#options = options;
    this.#onEvent = (event) => {
      if (this.#state.is !== 'over') options.onEvent(event);
    };
    this.#listener = new SourceListener(
      { liveness: defaultLiveness, ...options, onEvent: this.#onEvent },
      this,
    );
    this.#ticks = setInterval(() => {
      this.#tick();
    }, progressMs);
  }

  run(): Promise<EngineOutcome> {
    const { listen, interrupts } = this.#options;
    this.#listener.listen(listen.host, listen.port);
    interrupts?.subscribe(() => {
      this.#step({ type: 'interrupted' });
    });
    return this.#outcome.promise;
  }

  listening(address: string): void {
    this.#onEvent({ event: 'listening', address });
  }

  greeted(connection: EngineConnection, peer: string, compression: 'none' | 'zstd'): void {
    const { storage, limits = defaultLimits } = this.#options;
    const listed = new ListedStorage(storage, limits.storageMs, this.#onEvent);
    this.#step({ type: 'greeted', parts: { connection, storage: listed } });
    this.#onEvent({ event: 'connected', peer, compression });
  }

  takeFrame(type: FrameType, payload: Buffer): void {
    const state = this.#state;
    if (state.is === 'greeting' || state.is === 'over') return;
    switch (type) {
      case 'stream':
        if (state.is === 'preparing') this.#begin(state.parts);
        this.#serving?.stream.push(payload);
        return;
      case 'early':
        if (state.is === 'preparing') this.#early = true;
        return;
      case 'confirm':
        this.#confirm(servingOf(state));
        return;
      case 'commit':
        this.#step({ type: 'commit' });
        return;
      case 'sources':
        this.#openStorage(state.parts, decodeMessage(messageSchemas.sources, payload));
        return;
      case 'plan':
        this.#takePlan(servingOf(state), payload);
        return;
      default:
        throw new CodedError('wire', 'malformed', `the source sent "${type}"`);
    }
  }

  /** What is placed is there by now; what is held is not asked for. */
  #confirm(serving: Serving | undefined): void {
    if (serving === undefined)
      throw new CodedError('wire', 'malformed', 'the source asks for what it has not sent');
    const { connection, target } = serving;
    const { output } = target;
    output.flush();
    const { writtenBytes } = output;
    output.flush(() => {
      if (output.deliveredBytes >= writtenBytes) connection.send('confirmed', Buffer.alloc(0));
    });
  }

  #openStorage({ connection, storage }: Link, sources: Sources): void {
    storage
      .open(sources)
      .then((answer) => {
        connection.send('storage', encodeMessage(answer));
      })
      .catch((error: unknown) => {
        this.fail(error);
      });
  }

  #takePlan(serving: Serving | undefined, payload: Buffer): void {
    const part = decodePlanPart(payload);
    const block = serving?.stream.injector.reader.blocks[part.blockIndex];
    const reader = serving?.storage.reader(part.sourceIndex);
    if (serving === undefined || block === undefined || reader === undefined) {
      throw new CodedError('wire', 'malformed', 'the plan names a RAM block or a source that is not there');
    }
    serving.plan.add(part, block.pageCount, Math.floor(reader.sizeBytes / pageSizeBytes));
  }

  /** QEMU has begun to send: connects to the target. What is written before that is done waits in the socket. */
  #begin(link: Link): void {
    const { connection, storage } = link;
    const { incomingPath, vm, targetRam } = this.#options;
    const plan = new RestorePlan();
    const early = this.#early
      ? {
          packageBegins: () => {
            target.openSecond();
            this.#step({ type: 'package-begins' });
          },
          mayGetHugePages: (lengthBytes: number) => mayGetHugePages(incomingPath, lengthBytes),
        }
      : undefined;
    const restorer = new Restorer(plan, storage, this);
    const target: TargetConnection = new TargetConnection(incomingPath, () => stream.hasReturnPath, {
      returnPath: (bytes) => {
        connection.send('returnPath', bytes);
      },
      pong: (value) => stream.pong(value),
      request: (request) => {
        const waitedFor = stream.requested(request, performance.now());
        if (this.#isAlone) this.#readSoon(waitedFor);
        else connection.send('returnPath', encodePageRequest(request));
      },
      moved: () => {
        this.#step({ type: 'target-moved' });
      },
      room: () => {
        this.#guarded(() => {
          connection.resumeReading();
          restorer.pump();
          this.#endIfAlone();
        });
      },
      started: () => {
        if (early !== undefined) this.#onEvent(stream.faultTimes.summary);
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
      plan,
      () => restorer.storageBytes,
      (counts) => {
        connection.send('status', encodeMessage(counts));
      },
    );
    const stream = new TargetStream(plan, target.output, vm, this.#onEvent, targetRam, early);
    const rate = new StorageRate();
    const statusTimer = setInterval(() => {
      this.#guarded(() => {
        status.send();
        this.#tellWhetherNeeded();
      });
    }, statusMs);
    const timers = [statusTimer, this.#tellLoad(connection)];
    const parts = { ...link, plan, target, stream, restorer, rate, status, timers };
    this.#step({ type: 'stream-begins', parts: { ...parts, ...nothingKept } });
  }

  /** Tells the source again and again what this host is busy with. */
  #tellLoad(connection: EngineConnection): NodeJS.Timeout {
    const idleTime = new IdleTime();
    let before = performance.eventLoopUtilization();
    return setInterval(() => {
      const now = performance.eventLoopUtilization();
      const { utilization } = performance.eventLoopUtilization(now, before);
      before = now;
      const load = { busyShare: Math.min(1, Math.max(0, utilization)), idleShare: idleTime.share() };
      connection.send('load', encodeMessage(load));
    }, loadMs);
  }

  afterBatch(): void {
    const serving = this.#serving;
    if (serving === undefined) return;
    const { connection, target, restorer, status } = serving;
    const { output } = target;
    restorer.pump();
    const takenBytes = connection.receivedBytes;
    output.flush(() => {
      connection.acknowledge(takenBytes);
    });
    if (!output.hasRoom) connection.pauseReading();
    status.sendIfNothingPends();
  }

  /** Undefined before QEMU has begun to send, and when it is over. */
  get #serving(): Serving | undefined {
    return servingOf(this.#state);
  }

  get canTake(): boolean {
    const serving = this.#serving;
    if (serving === undefined) return false;
    const { output } = serving.target;
    // What is held is the package alone, so that its last byte is the one without which the target cannot start.
    return serving.stream.injector.canInject && output.hasRoomBeside && !output.isHolding;
  }

  take(blockIndex: number, page: number, buffer: Buffer, offset: number): void {
    this.#serving?.stream.restore(blockIndex, page, buffer, offset);
  }

  taken(): void {
    this.#serving?.stream.restored();
    this.#serving?.target.output.flush();
    this.#serving?.status.sendIfNothingPends();
    this.#endIfAlone();
  }

  ask(pages: readonly PageName[]): void {
    for (let i = 0; i < pages.length; i += maxAskedPages) {
      this.#serving?.connection.send('ask', encodeAsk(pages.slice(i, i + maxAskedPages)));
    }
  }

  /** Early resume: whether the source is gone, and the rest comes from storage. */
  get #isAlone(): boolean {
    return this.#state.is === 'draining' && this.#state.link === 'down';
  }

  /**
   * The source is not needed when storage has all that the target was not handed, when that is kept, and when the kernel has taken what the
   * target was handed: then nothing is lost with this engine either, since the target reads on what it was sent by one that has died.
   */
  #tellWhetherNeeded(): void {
    const serving = this.#serving;
    if (serving === undefined || this.#state.is !== 'draining') return;
    const { connection, stream, target } = serving;
    if (stream.needsNoSource) {
      this.#keepForRecovery(serving);
      target.output.flush();
      serving.handedOnBytes ??= target.output.writtenBytes;
    } else serving.handedOnBytes = undefined;
    if (this.#isAlone) return;
    const isTaken = target.output.deliveredBytes >= (serving.handedOnBytes ?? Infinity);
    if ((isTaken && serving.kept === 'yes') === serving.sourceFree) return;
    serving.sourceFree = !serving.sourceFree;
    this.#onEvent({ event: serving.sourceFree ? 'source-free' : 'source-needed' });
    connection.send(serving.sourceFree ? 'sourceFree' : 'sourceNeeded', Buffer.alloc(0));
  }

  /**
   * What is pending in the plan now is missing at the target, and what the VM has left: the VM stands at the source, QEMU has said what it
   * sends again, and each page that came or was thrown away since it was planned is pending no more (docs/engine-design.md, Order).
   */
  #keepForRecovery(serving: Serving): void {
    const { stream, storage, target, plan } = serving;
    const { ramSectionId, blocks } = stream.injector.reader;
    const { sources } = storage;
    if (serving.kept !== 'no') return;
    serving.kept = 'yes';
    const { keepForRecovery } = this.#options;
    if (keepForRecovery === undefined || ramSectionId === undefined || sources === undefined) return;
    serving.kept = 'under-way';
    keepForRecovery({ ...sources, target: target.process, ramSectionId, blocks, parts: plan.open() })
      .catch((error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error);
        this.#onEvent({ event: 'warning', code: 'not-kept', reason });
      })
      .finally(() => {
        serving.kept = 'yes';
      })
      .catch(() => undefined);
  }

  /** The source is gone, and storage has all that is missing. */
  #goOnAlone(why: Error): void {
    this.#onEvent({ event: 'source-lost', reason: why.message });
    const serving = this.#serving;
    if (serving === undefined) return;
    this.#keepForRecovery(serving);
    serving.restorer.expectFaults();
    // The source was asked for them, and gives none any more.
    this.#readSoon(serving.stream.faultTimes.waitedFor);
    this.#endIfAlone();
  }

  #readSoon(pages: readonly PageName[]): void {
    const serving = this.#serving;
    if (serving === undefined) return;
    for (const { blockIndex, pageIndex } of pages) serving.plan.want(blockIndex, pageIndex);
    serving.restorer.pump();
  }

  /** What comes from storage has come: the target has everything, or never will. */
  #endIfAlone(): void {
    const serving = this.#serving;
    if (serving === undefined || !this.#isAlone || serving.ended || serving.plan.openPages > 0) return;
    const { plan, stream, target } = serving;
    if (plan.pendingPages > 0) {
      const what = `storage has other content of ${plan.pendingPages} pages than the memory that the VM has left`;
      this.fail(new CodedError('destination', 'incomplete', what));
      return;
    }
    serving.ended = true;
    stream.endInstead();
    target.output.flush();
  }

  get targetNeverRuns(): boolean {
    return targetNeverRuns(this.#state, this.#undelivered);
  }

  sourceClosed(error: Error | undefined, vouched: boolean): void {
    const why = error ?? new CodedError('wire', 'closed', 'the source ended the connection');
    const needsNoSource = this.#serving?.stream.needsNoSource === true;
    if (!isCoded(why, 'wire')) this.fail(why);
    else if (why.code === 'peer-aborted') {
      this.#step({ type: 'source-aborted', why, undelivered: this.#undelivered, needsNoSource });
    } else if (why.code === 'closed' || why.code === 'timeout') {
      this.#step({ type: 'link-closed', why, vouched, needsNoSource });
    } else this.fail(why);
  }

  fail(cause: unknown): void {
    const why = cause instanceof Error ? cause : new Error(String(cause));
    this.#step({ type: 'failed', why, undelivered: this.#undelivered });
  }

  get #undelivered(): boolean {
    return this.#serving?.target.output.undelivered === true;
  }

  #guarded(body: () => void): void {
    if (this.#state.is === 'over') return;
    try {
      body();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Every 200 ms. */
  #tick(): void {
    const serving = this.#serving;
    if (serving !== undefined) {
      serving.rate.sample(serving.restorer.storageBytes, performance.now());
      this.#onEvent({ event: 'progress', ...counters(this.#state) });
    }
    const verdict = this.#waits.update(this.#wait, performance.now());
    if (verdict.is === 'quiet') return;
    this.#onEvent(verdict.event);
    if (verdict.is === 'limit') {
      const why = new CodedError('destination', 'limit', verdict.reason);
      this.#step({ type: 'limit', why, undelivered: this.#undelivered });
    }
  }

  /** What cannot go on by itself now. */
  get #wait(): Wait | undefined {
    const state = this.#state;
    const { startMs, switchoverMs, stallMs } = this.#options.limits ?? defaultLimits;
    switch (state.is) {
      case 'greeting':
        return { what: 'the source engine', limitMs: startMs };
      case 'preparing':
        return { what: "the source's QEMU", limitMs: startMs };
      case 'moving':
      case 'draining': {
        const { plan, restorer, target } = state.parts;
        // Alone, nothing comes that could take more room than what storage gives.
        if (!target.output.hasRoom || (this.#isAlone && !target.output.hasRoomBeside)) {
          return {
            what: 'the target QEMU to read',
            limitMs: stallMs,
            progress: target.output.writtenBytes,
          };
        }
        if (this.#isAlone && state.parts.ended)
          return { what: "the target QEMU's word that it has everything", limitMs: switchoverMs };
        if (plan.pendingPages === 0) return undefined;
        // The source ends a migration whose storage stalls for good; without it a read has its own limit.
        return { what: 'storage', progress: plan.pendingPages + restorer.storageBytes };
      }
      case 'committing':
      case 'switching':
      case 'in-doubt':
        return {
          what: "the target QEMU's word that it has everything",
          limitMs: switchoverMs,
          // In post-copy pages are on their way.
          progress: state.parts.target.output.writtenBytes,
        };
      case 'closing':
        return { what: 'the source engine to end', limitMs: closeMs };
      case 'over':
        return undefined;
    }
  }

  #step(event: DestinationEvent<Parts>): void {
    const before = this.#state;
    if (before.is === 'over') return;
    const { state, actions } = stepDestination(before, event);
    this.#state = state;
    for (const action of actions) this.#act(action, before);
    if (state.is === 'over') this.#over(state.end, before);
  }

  /** @param before the state that was left: what there is is in it */
  #act(action: DestinationAction, before: State): void {
    const { onEvent } = this.#options;
    switch (action.do) {
      case 'release':
        onEvent({ event: 'committed' });
        servingOf(before)?.target.output.release();
        servingOf(before)?.restorer.pump();
        return;
      case 'say-moved':
        onEvent({ event: 'moved' });
        linkOf(before)?.connection.send('moved', Buffer.alloc(0));
        return;
      case 'go-on-alone':
        this.#goOnAlone(action.why);
        return;
      case 'say-incomplete':
        onEvent({ event: 'incomplete', reason: action.why.message, advice: incompleteAtDestination });
        return;
      case 'say-started':
        onEvent({ event: 'started' });
        linkOf(before)?.connection.send('started', Buffer.alloc(0));
        return;
      case 'drop-target':
        servingOf(before)?.target.destroy();
        return;
      case 'abort':
      case 'abort-in-doubt':
        linkOf(before)?.connection.abort(action.why);
        return;
      case 'say-in-doubt':
        onEvent({ event: 'in-doubt', reason: action.why.message, advice: inDoubtAtDestination(this.#early) });
        return;
      case 'refuse-signal':
        onEvent({ event: 'signal-refused', reason: signalRefused });
    }
  }

  #over(end: EngineEnd, before: State): void {
    const link = linkOf(before);
    const serving = servingOf(before);
    clearInterval(this.#ticks);
    serving?.timers.forEach(clearInterval);
    this.#listener.close();
    serving?.restorer.stop();
    this.#outcome.resolve(conclude(end, counters(before), this.#options.onEvent));
    serving?.target.destroy();
    serving?.stream.close();
    link?.storage.close();
    link?.connection.end();
  }
}

function counters(state: State): EngineCounters {
  return destinationCounters(linkOf(state)?.connection, servingOf(state));
}
