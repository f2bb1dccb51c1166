/**
 * The source engine: stands between the source QEMU and the destination engine. It leaves pages out of QEMU's stream that
 * the destination can read from shared storage, sends what storage does not give, and holds the switchover until nothing
 * is pending. docs/engine.md says why the guest's memory arrives complete.
 */
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import {
  inDoubtAtSource,
  inDoubtBothMayRun,
  inDoubtSourceCompleted,
  signalRefused,
  sourceVmRunsOrStopped,
  sourceVmStopped,
} from '../core/advice.ts';
import type { EngineOutcome } from '../core/engine-options.ts';
import { defaultLimits, type Wait, WaitWatch } from '../core/wait-watch.ts';
import {
  type QemuEnd,
  type SourceAction,
  type SourceEnd,
  type SourceEvent,
  type SourceState,
  sourceStart,
  stepSource,
} from '../core/source-switchover.ts';
import type { EngineCounters } from '../core/engine-event.ts';
import { Schedule } from '../core/schedule.ts';
import { returnPathMessage } from '../stream/records.ts';
import { encodeReturnPathMessage } from '../stream/return-path.ts';
import type { FrameType } from '../wire/frame.ts';
import { decodeMessage, messageSchemas, type RestoreStatus } from '../wire/messages.ts';
import { decodeAsk } from '../wire/plan-codec.ts';
import { askForList } from './ask-for-list.ts';
import { DestinationLink, type DestinationLinkHandler } from './destination-link.ts';
import { QemuConnection } from './qemu-connection.ts';
import { QemuStream } from './qemu-stream.ts';
import type { SourceOptions } from './source-options.ts';
import { sourceCounters } from './source-report.ts';
import { SwitchoverHold } from '../core/switchover-hold.ts';

const progressMs = 200;
/** The destination engine answers before that, or is not there. */
const greetingMs = 30_000;
/** QEMU has the target's word; it is given this time to close its connection. */
const closeMs = 10_000;
/** The destination engine's limit comes first, and with it what it knows. */
const afterDestinationMs = 10_000;
/** The target has everything (migration/migration.c, migrate_send_rp_shut). */
const success = encodeReturnPathMessage({ type: returnPathMessage.shut, data: Buffer.alloc(4) });

/** Runs one migration; settles when it is over. */
export function runSource(options: SourceOptions): Promise<EngineOutcome> {
  return new SourceEngine(options).run();
}

class SourceEngine implements DestinationLinkHandler {
  readonly #options: SourceOptions;
  readonly #schedule: Schedule;
  readonly #abortList = new AbortController();
  readonly #waits = new WaitWatch();
  readonly #link: DestinationLink;
  readonly #stream: QemuStream;
  readonly #hold: SwitchoverHold;
  readonly #qemu: QemuConnection;
  #settle: (outcome: EngineOutcome) => void = () => undefined;
  #status: RestoreStatus | undefined;
  #state: SourceState = sourceStart;
  #greeted = false;
  #isSilent = false;
  #advanceScheduled = false;
  #progress: NodeJS.Timeout | undefined;

  constructor(options: SourceOptions) {
    this.#options = {
      ...options,
      // Nothing is said after the last word.
      onEvent: (event) => {
        if (!this.#isSilent) options.onEvent(event);
      },
    };
    const { onEvent } = this.#options;
    this.#schedule = new Schedule(options.strategy);
    this.#link = new DestinationLink(this.#options, !this.#schedule.gateOpen, this);
    this.#stream = new QemuStream(this.#schedule, options.vm, options.ram, this.#link, onEvent, {
      returnPathOpens: () => {
        this.#step({ type: 'return-path' });
      },
      complete: () => {
        // A QEMU that was cancelled when it had sent everything has closed its connection by now: that is seen first.
        setImmediate(() => {
          this.#step({ type: 'stream-complete' });
        });
      },
    });
    this.#hold = new SwitchoverHold(this.#schedule, this.#stream.pages, onEvent, {
      allowSwitchover: () => {
        this.#link.allowSwitchover();
      },
      releaseEnd: () => {
        this.#stream.injector.release();
      },
      toQemu: (message) => {
        this.#toQemu(message);
      },
    });
    this.#qemu = this.#createQemuConnection();
  }

  run(): Promise<EngineOutcome> {
    const { interrupts } = this.#options;
    return new Promise((resolve) => {
      this.#settle = resolve;
      this.#progress = setInterval(() => {
        this.#tick();
      }, progressMs);
      interrupts?.subscribe(() => {
        this.#step({ type: 'interrupted' });
      });
    });
  }

  #createQemuConnection(): QemuConnection {
    const { listenPath, listAt, onEvent } = this.#options;
    return new QemuConnection(listenPath, {
      listening: () => {
        onEvent({ event: 'listening', address: `unix:${listenPath}` });
      },
      connected: () => {
        this.#step({ type: 'qemu-connected' });
        if (listAt !== 'start' && this.#schedule.waitsForList) this.#askForList();
      },
      chunk: (chunk) => this.#guarded(() => this.#takeFromQemu(chunk)) ?? false,
      closed: (why) => {
        this.#guarded(() => {
          // Where QEMU waits for no word, it closes when it has sent everything.
          const waits = this.#state.is === 'moving' && this.#state.returnPath;
          if (!waits && (this.#stream.close() || this.#stream.isComplete))
            this.#step({ type: 'stream-complete' });
          this.#step({ type: 'qemu-closed', why });
        });
      },
      failed: (error) => {
        this.#step({ type: 'failed', why: error });
      },
    });
  }

  get wantsRoom(): boolean {
    return this.#qemu.waiting;
  }

  greeted(compression: SourceOptions['compression']): void {
    if (this.#greeted || this.#state.is !== 'preparing') return;
    const { destination, listAt, onEvent } = this.#options;
    this.#greeted = true;
    onEvent({ event: 'connected', peer: `${destination.host}:${destination.port}`, compression });
    if (listAt === 'start' && this.#schedule.waitsForList) {
      this.#askForList(() => {
        if (this.#state.is === 'preparing') this.#qemu.listen();
      });
    } else {
      this.#qemu.listen();
    }
  }

  #askForList(onAnswer: () => void = () => undefined): void {
    askForList(this.#options, this.#stream, this.#link.connection, this.#abortList.signal)
      .then((listed) => {
        if (!listed) this.scheduleAdvance();
        onAnswer();
      })
      .catch((error: unknown) => {
        this.fail(error);
      });
  }

  /** Takes a chunk of QEMU's stream; returns whether to read on. */
  #takeFromQemu(chunk: Buffer): boolean {
    if (!this.#stream.push(chunk)) this.#hold.holdEnd();
    this.#updateHold();
    this.scheduleAdvance();
    return this.#mayRead;
  }

  frame(type: FrameType, payload: Buffer): void {
    const { pages } = this.#stream;
    switch (type) {
      case 'storage':
        pages.takeStorage(decodeMessage(messageSchemas.storage, payload));
        break;
      case 'status':
        this.#status = decodeMessage(messageSchemas.status, payload);
        pages.takeStatus(this.#status, performance.now());
        break;
      case 'ask':
        pages.takeAsk(decodeAsk(payload));
        break;
      case 'returnPath':
        this.#hold.pushReturnPath(payload);
        break;
      case 'started':
        this.#options.onEvent({ event: 'started' });
        this.#step({ type: 'started' });
        break;
      default:
        throw new CodedError('wire', 'malformed', `the destination sent "${type}"`);
    }
    this.scheduleAdvance();
  }

  scheduleAdvance(): void {
    if (this.#advanceScheduled || this.#state.is === 'over') return;
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
    const migrating = this.#state.is === 'moving';
    const more = migrating && this.#stream.pages.advance(this.#hold.holdsQemu);
    this.#updateHold();
    this.#link.batch.flush();
    if (this.#mayRead) this.#qemu.readOn();
    if (more) this.scheduleAdvance();
  }

  /** Once its stream is complete, QEMU has nothing more to say than that it closes, which must be heard whatever the link does. */
  get #mayRead(): boolean {
    if (this.#state.is !== 'preparing' && this.#state.is !== 'moving') return true;
    return !this.#hold.holdsQemu && this.#link.room > 0;
  }

  #updateHold(): void {
    this.#hold.update(performance.now());
  }

  #toQemu(message: Buffer): void {
    // Whether the target has the VM is for `started` to say: QEMU is told when this engine knows it.
    if (message.readUInt16BE(0) !== returnPathMessage.shut) this.#qemu.write(message);
  }

  #guarded<T>(body: () => T): T | undefined {
    if (this.#state.is === 'over') return undefined;
    try {
      return body();
    } catch (error) {
      this.#failed(error);
      return undefined;
    }
  }

  /** The connection to the destination has ended, or an error has ended it. */
  fail(cause: unknown): void {
    if (!isCoded(cause, 'wire')) this.#failed(cause);
    else if (cause.targetNeverRuns) this.#step({ type: 'target-failed', why: cause });
    else if (['closed', 'timeout', 'peer-aborted'].includes(cause.code)) {
      this.#step({ type: 'link-broken', why: cause });
    } else this.#failed(cause);
  }

  #failed(cause: unknown): void {
    this.#step({ type: 'failed', why: cause instanceof Error ? cause : new Error(String(cause)) });
  }

  /** Every 200 ms. */
  #tick(): void {
    const { onEvent } = this.#options;
    if (this.#state.is !== 'preparing') onEvent({ event: 'progress', ...this.#counters() });
    const verdict = this.#waits.update(this.#wait, performance.now());
    if (verdict.is === 'quiet') return;
    const { what, limitMs = 0 } = verdict.wait;
    const seconds = Math.round(verdict.waitedMs / 1000);
    onEvent({ event: 'waiting-for', what, seconds, limit_seconds: limitMs / 1000 });
    if (verdict.is === 'limit') {
      this.#step({
        type: 'limit',
        why: new CodedError('source', 'limit', `nothing was heard of ${what} for ${seconds} s`),
      });
    }
  }

  /** What cannot go on by itself now. */
  get #wait(): Wait | undefined {
    const { switchoverMs, stallMs } = this.#options.limits ?? defaultLimits;
    switch (this.#state.is) {
      case 'preparing':
        return this.#greeted
          ? { what: 'QEMU to migrate to the socket' }
          : { what: 'the destination engine', limitMs: greetingMs };
      case 'moving':
        return { ...this.#waitWhileMoving(), limitMs: stallMs };
      case 'committing':
        return { what: "the target's word", limitMs: switchoverMs + afterDestinationMs };
      case 'closing':
        return { what: 'QEMU to complete', limitMs: closeMs };
      case 'in-doubt':
        return { what: 'somebody to look at the target', limitMs: switchoverMs };
      case 'over':
        return undefined;
    }
  }

  #waitWhileMoving(): Wait {
    const { connection } = this.#link;
    if (this.#link.room <= 0) {
      return { what: 'the destination to take data', progress: connection.acknowledgedBytes };
    }
    if (this.#hold.holdsQemu) {
      const status = this.#status;
      const storageBytes = status?.storageBytes ?? 0;
      return {
        what: this.#schedule.waitsForList ? 'the page list' : 'storage',
        progress: storageBytes + (status?.pendingPages ?? 0) + this.#stream.pages.pagesSentFromMemory,
      };
    }
    return { what: 'QEMU to send', progress: this.#stream.injector.reader.counters.bytes };
  }

  #step(event: SourceEvent): void {
    const before = this.#state;
    if (before.is === 'over') return;
    const { state, actions } = stepSource(before, event);
    this.#state = state;
    for (const action of actions) this.#act(action);
    if (state.is === 'over') this.#over(state.end);
    else if (state.is !== before.is) this.scheduleAdvance();
  }

  #act(action: SourceAction): void {
    const { onEvent } = this.#options;
    switch (action.do) {
      case 'commit':
        onEvent({ event: 'committed' });
        // From here on nobody who connects can be a part of this migration.
        this.#qemu.stopListening();
        this.#link.sendInOrder('commit');
        return;
      case 'abort':
        this.#link.connection.abort(action.why);
        return;
      case 'finish-qemu':
        this.#qemu.write(success);
        this.#qemu.end();
        return;
      case 'let-qemu-go':
        this.#qemu.destroy();
        return;
      case 'say-in-doubt':
        onEvent({ event: 'in-doubt', reason: action.why.message, advice: doubtAdvice(this.#state) });
        return;
      case 'refuse-signal':
        onEvent({ event: 'signal-refused', reason: signalRefused });
    }
  }

  #over(end: SourceEnd): void {
    const { onEvent } = this.#options;
    clearInterval(this.#progress);
    this.#abortList.abort();
    this.#qemu.stopListening();
    this.#stream.pages.close();
    switch (end.at) {
      case 'destination':
        onEvent({ event: 'done', ...this.#counters() });
        this.#settle({ result: 'migrated' });
        break;
      case 'source': {
        const error: Error & { readonly code?: string } = end.why;
        const advice = vmAdvice[end.vm];
        const peer = isCoded(error, 'wire') && error.code === 'peer-aborted';
        onEvent({ event: 'progress', ...this.#counters() });
        onEvent({
          ...{ event: 'failed', code: error.code ?? 'failed', reason: error.message, peer },
          ...(advice === undefined ? {} : { advice }),
        });
        this.#settle({ result: 'failed', error });
        break;
      }
      case 'source-cancelled': {
        const advice = vmAdvice[end.vm];
        onEvent({ event: 'cancelled', ...(advice === undefined ? {} : { advice }) });
        this.#settle({ result: 'cancelled' });
        break;
      }
      case 'in-doubt':
        this.#settle({ result: 'in-doubt', error: end.why });
    }
    this.#isSilent = true;
    this.#link.connection.end();
    this.#qemu.destroy();
  }

  #counters(): EngineCounters {
    return sourceCounters(this.#stream, this.#link.connection, this.#schedule, this.#status);
  }
}

const vmAdvice = {
  'runs-on': undefined,
  stopped: sourceVmStopped,
  'runs-on-or-stopped': sourceVmRunsOrStopped,
} as const;

function doubtAdvice(state: SourceState): string {
  const qemu: QemuEnd =
    state.is === 'in-doubt'
      ? state.qemu
      : state.is === 'over' && state.end.at === 'in-doubt'
        ? state.end.qemu
        : 'waits';
  switch (qemu) {
    case 'waits':
      return inDoubtAtSource;
    case 'closed-early':
      return inDoubtBothMayRun;
    case 'completes':
    case 'completed':
      return inDoubtSourceCompleted;
  }
}
