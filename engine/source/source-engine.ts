/**
 * The source engine: stands between the source QEMU and the destination engine. It leaves pages out of QEMU's stream that
 * the destination can read from shared storage, sends what storage does not give, and holds the switchover until nothing
 * is pending. docs/engine-design.md says why the guest's memory arrives complete.
 */
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import { IdleTime } from '../../foundation/processor-time.ts';
import { inDoubtAtSource, leftBehind, signalRefused, sourceVmAdvice } from '../core/advice.ts';
import type { EngineCounters, EventSink } from '../core/engine-event.ts';
import { conclude, type EngineOutcome } from '../core/engine-options.ts';
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
import { Scarcity } from '../core/scarcity.ts';
import { Schedule } from '../core/schedule.ts';
import { SwitchoverHold } from '../core/switchover-hold.ts';
import { returnPathMessage } from '../stream/records.ts';
import { encodeReturnPathMessage, PageRequestReader } from '../stream/return-path.ts';
import type { FrameType } from '../wire/frame.ts';
import { decodeMessage, type DestinationLoad, messageSchemas, type RestoreStatus } from '../wire/messages.ts';
import { decodeAsk } from '../wire/plan-codec.ts';
import { askForList } from './ask-for-list.ts';
import { type Compression, DestinationLink, type DestinationLinkHandler } from './destination-link.ts';
import { QemuConnection } from './qemu-connection.ts';
import { QemuStream } from './qemu-stream.ts';
import type { SourceOptions } from './source-options.ts';
import { sourceCounters } from './source-report.ts';

const progressMs = 200;
/** The destination engine answers before that, or is not there. */
const greetingMs = 30_000;
/** QEMU has the target's word; it is given this time to close its connection. */
const closeMs = 10_000;
/** It follows the last byte of device state at once. */
const descriptionMs = 10_000;
const descriptionWait = "the description that ends QEMU's stream (start QEMU without suppress-vmdesc=on)";
/** What QEMU says while RAM's end is held is read, so that it is heard when it ends; so much of it, which is nearly all of post-copy's. */
const maxKeptBytes = 256 * 1024;
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
  /** For the engine's parts, which have no word after its last. */
  readonly #onEvent: EventSink;
  readonly #schedule: Schedule;
  readonly #abortList = new AbortController();
  readonly #waits = new WaitWatch();
  readonly #link: DestinationLink;
  readonly #stream: QemuStream;
  readonly #hold: SwitchoverHold;
  readonly #qemu: QemuConnection;
  readonly #outcome = Promise.withResolvers<EngineOutcome>();
  readonly #ticks: NodeJS.Timeout;
  #status: RestoreStatus | undefined;
  #state: SourceState = sourceStart;
  #advanceScheduled = false;
  readonly #scarcity = new Scarcity();
  readonly #idleTime = new IdleTime();
  #listAsked = false;
  #confirmAsked = false;
  /** Early resume: QEMU has sent it, and the VM was not told to move yet. */
  #packageWaits = false;
  /** What the target's VM waits for. */
  readonly #requests = new PageRequestReader();
  /** What QEMU has said since RAM's end is held. */
  readonly #kept: Buffer[] = [];
  #keptBytes = 0;
  /** And that it has closed its connection, where it waits for no word. */
  #keptClose: Error | undefined;

  constructor(options: SourceOptions) {
    // What QEMU goes on with when the VM was left behind is nobody's news.
    const onEvent: EventSink = (event) => {
      if (this.#state.is !== 'left-behind') this.#onEvent(event);
    };
    this.#options = options;
    this.#onEvent = (event) => {
      if (this.#state.is !== 'over') options.onEvent(event);
    };
    this.#schedule = new Schedule(options.strategy, options.shareBeforeSwitch, options.leavesOut);
    this.#link = new DestinationLink({ ...options, onEvent }, !this.#schedule.gateOpen, this);
    this.#stream = new QemuStream(this.#schedule, options.vm, options.ram, this.#link, onEvent, {
      returnPathOpens: () => {
        this.#step({ type: 'return-path' });
      },
      complete: () => {
        // A QEMU that was cancelled when it had sent everything has closed its connection by now: that is seen first, as is what
        // follows an end that was none.
        setImmediate(() => {
          if (!this.#stream.isComplete) return;
          this.#askToConfirm();
          this.#step({ type: 'stream-complete' });
        });
      },
      goesOn: () => {
        this.#step({ type: 'stream-goes-on' });
      },
      precopyEnds: () => {
        setImmediate(() => {
          this.#guarded(() => {
            const ending = this.#stream.takeEnding();
            if (ending !== undefined) this.#takeFromQemu(ending);
          });
        });
      },
      packageBegins: () => {
        this.#askToConfirm();
      },
      postcopyBegins: () => {
        // The target may run with what follows: from here on it is as after a stream's end.
        this.#step({ type: 'stream-complete' });
      },
      needsNoConnection: () => {
        this.#qemu.stopListening();
      },
      packageComplete: () => {
        this.#takePackage();
      },
      drained: () => {
        this.#step({ type: 'stream-complete' });
      },
    });
    this.#hold = new SwitchoverHold(
      this.#schedule,
      this.#stream.pages,
      onEvent,
      {
        expectStop: () => {
          this.#link.expectWaiting();
        },
        prepareMove: () => {
          const { blocks, ramSectionId } = this.#stream.injector.reader;
          if (ramSectionId !== undefined) options.keepForRecovery?.({ ramSectionId, blocks });
        },
        allowSwitchover: () => {
          this.#link.allowSwitchover();
          if (this.#schedule.becomesPostcopy) this.#step({ type: 'let-go' });
          if (this.#packageWaits) this.#step({ type: 'package-complete' });
        },
        mayEnd: () => {
          this.#askToConfirm();
          // What follows where post-copy begins lets the target run.
          return !this.#stream.injector.reader.isHeldBeforePostcopy || this.#isConfirmed;
        },
        releaseEnd: () => {
          this.#stream.injector.release();
          this.scheduleAdvance();
        },
        toQemu: (message) => {
          this.#toQemu(message);
        },
        wakeIn: (ms) => {
          setTimeout(() => {
            this.scheduleAdvance();
          }, ms);
        },
      },
      options.moveSignal !== undefined,
    );
    this.#qemu = this.#createQemuConnection();
    this.#ticks = setInterval(() => {
      this.#tick();
    }, progressMs);
  }

  run(): Promise<EngineOutcome> {
    this.#options.interrupts?.subscribe(() => {
      this.#step({ type: 'interrupted' });
    });
    this.#options.moveSignal?.subscribe(() => {
      this.#hold.letMove();
      this.scheduleAdvance();
    });
    return this.#outcome.promise;
  }

  #createQemuConnection(): QemuConnection {
    const { listenPath } = this.#options;
    return new QemuConnection(listenPath, {
      listening: () => {
        this.#onEvent({ event: 'listening', address: `unix:${listenPath}` });
      },
      connected: () => {
        // From here on it is measured.
        this.#idleTime.share();
        this.#step({ type: 'qemu-connected' });
        this.#askIfOfUse();
      },
      chunk: (chunk) =>
        this.#guarded(() => {
          this.#takeKept();
          if (this.#stream.hasMadeEnding) this.#packageIsCut();
          else if (this.#hold.holdsEnd) this.#keep(chunk);
          else this.#takeFromQemu(chunk);
          return this.#mayRead;
        }) ?? false,
      closed: (why) => {
        this.#guarded(() => {
          this.#takeKept();
          const completes = this.#state.is === 'moving' && !this.#state.returnPath;
          if (completes && this.#hold.holdsEnd) this.#keptClose = why;
          else this.#qemuClosed(why);
        });
      },
      further: () => {
        if (!this.#schedule.becomesPostcopy) return undefined;
        const takeUrgent = this.#stream.openUrgent();
        return (chunk) => {
          this.#guarded(() => {
            takeUrgent(chunk);
          });
          this.scheduleAdvance();
        };
      },
      failed: (error) => {
        this.#step({ type: 'failed', why: error });
      },
    });
  }

  get wantsRoom(): boolean {
    return this.#qemu.waiting;
  }

  greeted(compression: Compression): void {
    if (this.#state.is !== 'greeting') return;
    const { destination, listAt } = this.#options;
    this.#step({ type: 'greeted' });
    this.#onEvent({ event: 'connected', peer: `${destination.host}:${destination.port}`, compression });
    if (this.#schedule.becomesPostcopy) this.#link.sendInOrder('early');
    if (listAt === 'start' && this.#schedule.waitsForList) {
      this.#askForList(() => {
        if (this.#state.is === 'preparing') this.#qemu.listen();
      });
    } else {
      this.#qemu.listen();
    }
  }

  /** What is not there to be asked is said at once. */
  #askIfOfUse(): void {
    const { requestList, ram } = this.#options;
    const cannot = requestList === undefined || ram === undefined;
    if (this.#schedule.asksForList || (cannot && this.#schedule.waitsForList)) this.#askForList();
  }

  #askForList(onAnswer: () => void = () => undefined): void {
    if (this.#listAsked) return;
    this.#listAsked = true;
    askForList(
      { ...this.#options, onEvent: this.#onEvent },
      this.#stream,
      this.#link.connection,
      this.#abortList.signal,
    )
      .then((listed) => {
        if (!listed) this.scheduleAdvance();
        onAnswer();
      })
      .catch((error: unknown) => {
        this.fail(error);
      });
  }

  #keep(chunk: Buffer): void {
    this.#kept.push(Buffer.from(chunk));
    this.#keptBytes += chunk.length;
  }

  /** What was kept is taken as soon as RAM's end is not held any more. */
  #takeKept(): void {
    while (!this.#hold.holdsEnd) {
      const chunk = this.#kept.shift();
      if (chunk === undefined) break;
      this.#keptBytes -= chunk.length;
      this.#takeFromQemu(chunk);
    }
    const why = this.#keptClose;
    if (why === undefined || this.#hold.holdsEnd) return;
    this.#keptClose = undefined;
    this.#qemuClosed(why);
  }

  #qemuClosed(why: Error): void {
    // Where QEMU waits for no word, it closes when it has sent everything.
    const state = this.#state;
    const waits =
      (state.is === 'moving' && state.returnPath) || (state.is === 'confirming' && state.qemu === 'waits');
    if (!waits && (this.#stream.close() || this.#stream.isComplete)) this.#step({ type: 'stream-complete' });
    this.#step({ type: 'qemu-closed', why });
  }

  #takeFromQemu(chunk: Buffer): void {
    const { counters } = this.#stream.injector.reader;
    const recordsBefore = counters.pages + counters.zeroPages + counters.pageDeltas;
    const partsBefore = counters.ramSections;
    if (!this.#stream.push(chunk)) {
      this.#stream.pages.ramEnds();
      this.#refuseEndOfPrecopy();
      this.#hold.holdEnd();
    }
    const records = counters.pages + counters.zeroPages + counters.pageDeltas - recordsBefore;
    const parts = counters.ramSections - partsBefore;
    this.#hold.chunkTaken(records, parts, performance.now(), this.#link.rateBytesPerSecond);
    this.#updateHold();
    this.scheduleAdvance();
  }

  /** All that is behind it in the stream may be on its way when the answer comes, so that nobody waits for that. */
  #askToConfirm(): void {
    if (this.#confirmAsked) return;
    this.#confirmAsked = true;
    this.#link.sendInOrder('confirm');
  }

  get #isConfirmed(): boolean {
    return this.#state.is === 'moving' && this.#state.confirmed;
  }

  /** It may come before the VM is told to move: QEMU 10.2 and newer go over as soon as somebody stops the VM. */
  #takePackage(): void {
    if (this.#hold.isReleased) {
      this.#step({ type: 'package-complete' });
      return;
    }
    if (this.#schedule.mayMove) {
      this.#packageWaits = true;
      return;
    }
    const why =
      'QEMU went over to post-copy before the VM may move: its switchover waits for no ack of the target';
    throw new CodedError(
      'source',
      'early-postcopy',
      `${why}; start QEMU 11.1 and newer with -global migration.switchover-ack-legacy=on`,
    );
  }

  /** What comes is dropped: after the commit only the target can say that it does not load what it was given. */
  #packageIsCut(): void {
    const why =
      'QEMU went on after what looked like the end of its stream, in a device that the guest can write to; try again';
    this.#step({ type: 'package-cut', why: new CodedError('source', 'package-cut', why) });
  }

  /** In pre-copy the VM stands from here until the last page is there: early resume is for that not to be long. */
  #refuseEndOfPrecopy(): void {
    const { becomesPostcopy, gateOpen } = this.#schedule;
    if (!becomesPostcopy || gateOpen || this.#stream.injector.reader.moved) return;
    const why =
      'QEMU had nothing left to send and did not go over to post-copy, while listed pages are missing';
    const instead = 'try again, or use another strategy';
    throw new CodedError('source', 'no-postcopy', `${why}; ${instead}`);
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
      case 'load':
        this.#takeLoad(decodeMessage(messageSchemas.load, payload));
        break;
      case 'ask':
        pages.takeAsk(decodeAsk(payload));
        break;
      case 'confirmed':
        this.#step({ type: 'confirmed' });
        break;
      case 'returnPath':
        this.#hold.pushReturnPath(payload);
        break;
      case 'moved':
        this.#onEvent({ event: 'moved' });
        this.#qemu.stopListening();
        this.#link.expectWaiting();
        this.#stream.pages.expectFaults();
        this.#schedule.moved();
        this.#step({ type: 'moved' });
        break;
      case 'sourceFree':
        this.#onEvent({ event: 'source-free' });
        break;
      case 'sourceNeeded':
        this.#onEvent({ event: 'source-needed' });
        break;
      case 'started':
        this.#onEvent({ event: 'started' });
        this.#step({ type: 'started' });
        break;
      default:
        throw new CodedError('wire', 'malformed', `the destination sent "${type}"`);
    }
    this.scheduleAdvance();
  }

  #takeLoad({ busyShare, idleShare }: DestinationLoad): void {
    const { acknowledgedBytes, rawBytes } = this.#link.connection;
    const load = {
      room: this.#link.room,
      destinationBusyShare: busyShare,
      idleShare: Math.min(idleShare, this.#idleTime.share()),
      wireBytes: acknowledgedBytes,
      rawBytes,
    };
    if (!this.#scarcity.measured(load, performance.now())) return;
    const { scarce, wireBytesPerSecond, rawBytesPerSecond } = this.#scarcity;
    if (scarce === undefined) return;
    this.#onEvent({
      event: 'scarce',
      what: scarce,
      wire_bytes_per_second: Math.round(wireBytesPerSecond),
      raw_bytes_per_second: Math.round(rawBytesPerSecond),
      destination_busy_percent: Math.round(100 * busyShare),
      idle_percent: Math.round(100 * load.idleShare),
    });
    this.#link.isScarce(scarce === 'link');
    this.#schedule.isShortOf(scarce);
    this.#askIfOfUse();
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
    this.#takeKept();
    // QEMU's pages go before listed ones: what it has written by now is read before they take the room that there is again.
    const readsOn = this.#qemu.waiting && this.#mayRead;
    if (readsOn) this.#qemu.readOn();
    const more = this.#servesPages && this.#stream.pages.advance(this.#hold.holdsQemu, !readsOn);
    this.#updateHold();
    this.#link.batch.flush();
    if (this.#mayRead) this.#qemu.readOn();
    if (more || readsOn) this.scheduleAdvance();
  }

  /** While it is in doubt, too, as long as the target may be waiting for pages to load its package. */
  get #servesPages(): boolean {
    const state = this.#state;
    if (state.is === 'in-doubt') return state.early && state.link === 'up';
    if (state.is === 'confirming') return state.early;
    return state.is === 'moving' || state.is === 'switching' || state.is === 'draining';
  }

  /**
   * Once its stream is complete, QEMU has nothing more to say than that it closes, which must be heard whatever the link does;
   * in post-copy it sends on, and what it sends when there is no link any more is dropped.
   */
  get #mayRead(): boolean {
    if (this.#hold.holdsEnd) return this.#keptBytes < maxKeptBytes;
    switch (this.#state.is) {
      case 'greeting':
      case 'preparing':
      case 'moving':
      case 'switching':
      case 'draining':
        return this.#hold.holdsQemu ? this.#hold.readsQemu : this.#link.room > 0;
      case 'confirming':
      case 'committing':
      case 'closing':
      case 'left-behind':
      case 'in-doubt':
      case 'over':
        return !this.#stream.isPostcopy || this.#link.connection.isClosed || this.#link.room > 0;
    }
  }

  #updateHold(): void {
    this.#hold.update(performance.now());
    this.#qemu.readsLittle(this.#hold.holdsQemu);
  }

  #toQemu(message: Buffer): void {
    // What is left out is settled before the switchover, unless the VM moves early.
    const request = !this.#schedule.becomesPostcopy
      ? undefined
      : this.#requests.read({ type: message.readUInt16BE(0), data: message.subarray(4) });
    if (request !== undefined) {
      const block = this.#stream.injector.reader.blocks.find(({ name }) => name === request.blockName);
      const here =
        block !== undefined && this.#stream.pages.request(block.index, request.pageIndex, request.pageCount);
      this.scheduleAdvance();
      if (here) return;
    }
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
    if (this.#state.is !== 'greeting' && this.#state.is !== 'preparing') {
      this.#onEvent({ event: 'progress', ...this.#counters() });
    }
    // While QEMU is held it may be time to read a little of it.
    if (this.#qemu.waiting) this.scheduleAdvance();
    const verdict = this.#waits.update(this.#wait, performance.now());
    if (verdict.is === 'quiet') return;
    this.#onEvent(verdict.event);
    if (verdict.is === 'limit') {
      this.#step({ type: 'limit', why: new CodedError('source', 'limit', verdict.reason) });
    }
  }

  /** What cannot go on by itself now. */
  get #wait(): Wait | undefined {
    const { startMs, switchoverMs, stallMs } = this.#options.limits ?? defaultLimits;
    switch (this.#state.is) {
      case 'greeting':
        return { what: 'the destination engine', limitMs: greetingMs };
      case 'preparing':
        if (!this.#qemu.isListening) return { what: 'the page list' };
        return { what: 'QEMU to migrate to the socket', limitMs: startMs };
      case 'moving':
        // The VM stands meanwhile, and nothing is committed.
        if (this.#stream.lacksDescription && this.#link.room > 0) {
          const { bytes } = this.#stream.injector.reader.counters;
          return { what: descriptionWait, progress: bytes, limitMs: Math.min(descriptionMs, stallMs) };
        }
        return { ...this.#waitWhileMoving(), limitMs: stallMs };
      case 'draining': {
        if (!this.#state.qemuGone) return { ...this.#waitWhileMoving(), limitMs: stallMs };
        const { acknowledgedBytes } = this.#link.connection;
        return { what: 'the target to have everything', progress: acknowledgedBytes, limitMs: stallMs };
      }
      case 'left-behind':
        return { what: 'somebody to look at the destination' };
      case 'confirming':
        // The VM stands meanwhile.
        return {
          what: 'the destination to have passed on all that came before',
          limitMs: switchoverMs,
          progress: this.#link.connection.acknowledgedBytes,
        };
      case 'switching':
      case 'committing':
        return {
          what: "the target's word",
          limitMs: switchoverMs + afterDestinationMs,
          // In post-copy pages are on their way.
          progress: this.#stream.injector.reader.counters.bytes,
        };
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
    const status = this.#status;
    const listed =
      (status?.storageBytes ?? 0) + (status?.pendingPages ?? 0) + this.#stream.pages.pagesSentFromMemory;
    const { bytes } = this.#stream.injector.reader.counters;
    if (this.#hold.waitsToBeTold) {
      // There is time for it as long as something comes.
      return { what: 'somebody to say that the VM moves', progress: listed + bytes };
    }
    if (this.#hold.holdsQemu) {
      return { what: this.#schedule.waitsForList ? 'the page list' : 'storage', progress: listed };
    }
    return { what: 'QEMU to send', progress: bytes };
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
        // From here on nobody who connects can be a part of this migration. In early resume QEMU may have connected just now.
        if (!this.#schedule.becomesPostcopy) this.#qemu.stopListening();
        this.#link.sendInOrder('commit');
        return;
      case 'abort':
        this.#link.connection.abort(action.why);
        return;
      case 'finish-qemu':
        this.#qemu.end(success);
        return;
      case 'let-qemu-go':
        this.#qemu.destroy();
        return;
      case 'say-in-doubt':
        onEvent({
          event: 'in-doubt',
          reason: action.why.message,
          advice: inDoubtAtSource(this.#qemuEnd, this.#schedule.becomesPostcopy),
        });
        return;
      case 'say-left-behind':
        onEvent({ event: 'incomplete', reason: action.why.message, advice: leftBehind });
        return;
      case 'refuse-signal':
        onEvent({ event: 'signal-refused', reason: signalRefused });
    }
  }

  /** While it is in doubt, what QEMU does. */
  get #qemuEnd(): QemuEnd {
    const state = this.#state.is === 'over' ? this.#state.end : this.#state;
    return 'qemu' in state ? state.qemu : 'waits';
  }

  #over(end: SourceEnd): void {
    clearInterval(this.#ticks);
    this.#abortList.abort();
    this.#qemu.stopListening();
    this.#stream.pages.close();
    const advice = 'vm' in end ? sourceVmAdvice[end.vm] : undefined;
    this.#outcome.resolve(conclude(end, this.#counters(), this.#options.onEvent, advice));
    this.#link.connection.end();
    this.#qemu.destroy();
  }

  #counters(): EngineCounters {
    return sourceCounters(this.#stream, this.#link.connection, this.#schedule, this.#scarcity, this.#status);
  }
}
