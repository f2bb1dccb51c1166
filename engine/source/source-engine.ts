/**
 * The source engine: stands between the source QEMU and the destination engine. It leaves pages out of QEMU's stream that
 * the destination can read from shared storage, sends what storage does not give, and holds the switch-over until nothing
 * is pending. docs/engine.md says why the guest's memory arrives complete.
 */
import type { EngineCounters } from '../restore/engine-event.ts';
import { Schedule } from '../restore/schedule.ts';
import { returnPathMessage } from '../stream/records.ts';
import type { FrameType } from '../wire/frame.ts';
import { decodeMessage, messageSchemas, type RestoreStatus } from '../wire/messages.ts';
import { decodeAsk } from '../wire/plan-codec.ts';
import { WireError } from '../wire/wire-error.ts';
import { askForList } from './ask-for-list.ts';
import { DestinationLink, type DestinationLinkHandler } from './destination-link.ts';
import { MigrationPhase } from './migration-phase.ts';
import { QemuConnection } from './qemu-connection.ts';
import { QemuStream } from './qemu-stream.ts';
import { SourceError } from './source-error.ts';
import type { SourceOptions, SourceOutcome } from './source-options.ts';
import { sourceCounters } from './source-report.ts';
import { SwitchoverHold } from './switchover-hold.ts';

const progressMs = 200;

/** Runs one migration; settles when it is over. */
export function runSource(options: SourceOptions): Promise<SourceOutcome> {
  return new SourceEngine(options).run();
}

class SourceEngine implements DestinationLinkHandler {
  readonly #options: SourceOptions;
  readonly #schedule: Schedule;
  readonly #abortList = new AbortController();
  readonly #phase = new MigrationPhase();
  readonly #link: DestinationLink;
  readonly #stream: QemuStream;
  readonly #hold: SwitchoverHold;
  readonly #qemu: QemuConnection;
  #settle: (outcome: SourceOutcome) => void = () => undefined;
  #status: RestoreStatus | undefined;
  /** What the target reported on the return path; 0 is success. */
  #targetStatus = 0;
  #advanceScheduled = false;
  #progress: NodeJS.Timeout | undefined;

  constructor(options: SourceOptions) {
    this.#options = options;
    this.#schedule = new Schedule(options.strategy);
    this.#link = new DestinationLink(options, !this.#schedule.gateOpen, this);
    this.#stream = new QemuStream(this.#schedule, options.ram, this.#link, options.onEvent, () => {
      this.#guarded(() => {
        this.#commit();
      });
    });
    this.#hold = new SwitchoverHold(this.#schedule, this.#stream, this.#link, options.onEvent, (message) => {
      this.#toQemu(message);
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

  #createQemuConnection(): QemuConnection {
    const { listenPath, listAt, onEvent } = this.#options;
    return new QemuConnection(listenPath, {
      listening: () => {
        onEvent({ event: 'listening', address: `unix:${listenPath}` });
      },
      connected: () => {
        this.#phase.qemuConnected();
        this.#progress = setInterval(() => {
          onEvent({ event: 'progress', ...this.#counters() });
        }, progressMs);
        if (listAt !== 'start' && this.#schedule.waitsForList) this.#askForList();
      },
      chunk: (chunk) => this.#guarded(() => this.#takeFromQemu(chunk)) ?? false,
      ended: () => {
        this.#guarded(() => {
          this.#qemuHasEnded();
        });
      },
      failed: (error) => {
        // QEMU that is done may close as it likes.
        if (this.#phase.current.is === 'committed') {
          this.#guarded(() => {
            this.#qemuHasEnded();
          });
        } else {
          this.fail(error);
        }
      },
    });
  }

  get wantsRoom(): boolean {
    return this.#qemu.waiting;
  }

  greeted(compression: SourceOptions['compression']): void {
    if (this.#phase.current.is !== 'greeting') return;
    const { destination, listAt, onEvent } = this.#options;
    this.#phase.greeted();
    onEvent({ event: 'connected', peer: `${destination.host}:${destination.port}`, compression });
    if (listAt === 'start' && this.#schedule.waitsForList) {
      this.#askForList(() => {
        if (this.#phase.current.is === 'waiting-for-qemu') this.#qemu.listen();
      });
    } else {
      this.#qemu.listen();
    }
  }

  #askForList(onAnswer: () => void = () => undefined): void {
    askForList(this.#options, this.#stream.pages, this.#link.connection, this.#abortList.signal)
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

  #commit(): void {
    if (this.#phase.current.is !== 'migrating') return;
    this.#stream.stopWatching();
    this.#link.sendInOrder('commit');
    this.#phase.committed();
  }

  #qemuHasEnded(): void {
    if (this.#phase.qemuEnded) return;
    this.#phase.qemuHasEnded();
    if (this.#phase.current.is === 'migrating') {
      // The migration was cancelled, or failed: a stream that is not complete throws here.
      this.#stream.injector.end();
      this.#commit();
    }
    this.#link.sendInOrder('streamEnd');
    this.#finishIfOver();
  }

  frame(type: FrameType, payload: Buffer): void {
    const { pages } = this.#stream;
    switch (type) {
      case 'storage':
        pages.takeStorage(decodeMessage(messageSchemas.storage, payload));
        break;
      case 'status':
        this.#status = decodeMessage(messageSchemas.status, payload);
        this.#schedule.status(this.#status, performance.now());
        pages.takeStatus(this.#status, performance.now());
        break;
      case 'ask':
        pages.takeAsk(decodeAsk(payload));
        break;
      case 'returnPath':
        this.#hold.pushReturnPath(payload);
        break;
      case 'returnPathEnd':
        if (this.#phase.current.is === 'migrating' && !this.#stream.passesThrough) {
          throw new SourceError('target-failed', 'the target closed its connection in mid-migration');
        }
        this.#phase.returnPathHasEnded();
        this.#qemu.end();
        this.#finishIfOver();
        break;
      default:
        throw new WireError('malformed', `the destination sent "${type}"`);
    }
    this.scheduleAdvance();
  }

  scheduleAdvance(): void {
    if (this.#advanceScheduled || this.#phase.current.is === 'over') return;
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
    const migrating = this.#phase.current.is === 'migrating';
    const more = migrating && this.#stream.pages.advance(this.#hold.holdsQemu);
    this.#updateHold();
    this.#link.batch.flush();
    if (this.#mayRead) this.#qemu.readOn();
    if (more) this.scheduleAdvance();
  }

  get #mayRead(): boolean {
    return !this.#hold.holdsQemu && this.#link.room > 0;
  }

  #updateHold(): void {
    this.#hold.update(performance.now());
  }

  #toQemu(message: Buffer): void {
    // Its word that the target has everything, or not (migration/migration.c, migrate_send_rp_shut).
    if (message.readUInt16BE(0) === returnPathMessage.shut && message.length >= 8) {
      this.#targetStatus = message.readUInt32BE(4);
    }
    this.#qemu.write(message);
  }

  #finishIfOver(): void {
    if (!this.#phase.bothEnded) return;
    if (this.#targetStatus !== 0) {
      this.fail(new SourceError('target-failed', `the target reported error ${this.#targetStatus}`));
      return;
    }
    this.#options.onEvent({ event: 'done', ...this.#counters() });
    this.#over({ result: 'migrated' });
  }

  /** From the commit on the migration ends by itself in a moment, or is in doubt. */
  #interrupted(): void {
    const phase = this.#phase.current;
    if (phase.is === 'in-doubt') this.#over({ result: 'in-doubt', error: phase.error });
    else if (phase.is !== 'committed') {
      this.fail(Object.assign(new Error('interrupted'), { code: 'interrupted' }));
    }
  }

  #guarded<T>(body: () => T): T | undefined {
    if (this.#phase.current.is === 'over') return undefined;
    try {
      return body();
    } catch (error) {
      this.fail(error);
      return undefined;
    }
  }

  fail(cause: unknown): void {
    const error: Error & { readonly code?: string } =
      cause instanceof Error ? cause : new Error(String(cause));
    const { onEvent } = this.#options;
    switch (this.#phase.takeError(error)) {
      case 'ignored':
        return;
      case 'in-doubt':
        // Closing QEMU's connection would let the source VM run too. So it stays open, and the VM stopped, until somebody
        // who has looked at the target ends this process.
        onEvent({ event: 'in-doubt', reason: error.message });
        if (this.#phase.qemuEnded) this.#over({ result: 'in-doubt', error });
        return;
      case 'failed': {
        const peer = error instanceof WireError && error.code === 'peer-aborted';
        onEvent({ event: 'progress', ...this.#counters() });
        onEvent({ event: 'failed', code: error.code ?? 'failed', reason: error.message, peer });
        this.#over({ result: 'failed', error });
        this.#link.connection.abort(error);
      }
    }
  }

  #over(outcome: SourceOutcome): void {
    this.#phase.over();
    this.#stream.stopWatching();
    clearInterval(this.#progress);
    this.#abortList.abort();
    this.#qemu.stopListening();
    this.#stream.pages.close();
    if (outcome.result === 'migrated') this.#link.connection.end();
    else this.#qemu.destroy();
    this.#settle(outcome);
  }

  #counters(): EngineCounters {
    return sourceCounters(this.#stream, this.#link.connection, this.#schedule, this.#status);
  }
}
