/** Runs one recovery: a connection to the target QEMU, which waits for one since it was told `migrate-recover`. */
import { connect, type Socket } from 'node:net';
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import { recoveryFailed } from '../core/advice.ts';
import { emptyCounters, type EngineCounters, type EventSink, processCounters } from '../core/engine-event.ts';
import type { EngineOutcome, Interrupts } from '../core/engine-options.ts';
import { type Wait, WaitWatch } from '../core/wait-watch.ts';
import { type LeftMemory, RecoveryStream } from './recovery-stream.ts';

export interface RecoveryOptions {
  readonly memory: LeftMemory;
  /** Unix socket on which the target waits. */
  readonly targetPath: string;
  readonly stallMs: number;
  readonly onEvent: EventSink;
  readonly interrupts?: Interrupts;
}

const progressMs = 200;
/** So little that what is waited for is not behind much. */
const partBytes = 256 * 1024;

/** Settles when the target has everything, or does not get it; then it can be recovered again. Never rejects. */
export function recover(options: RecoveryOptions): Promise<EngineOutcome> {
  return new Recovery(options).run();
}

class Recovery {
  readonly #options: RecoveryOptions;
  readonly #stream: RecoveryStream;
  readonly #waits = new WaitWatch();
  readonly #outcome = Promise.withResolvers<EngineOutcome>();
  #socket: Socket | undefined;
  #second: Socket | undefined;
  #ticks: NodeJS.Timeout | undefined;
  #scheduled = false;
  #over = false;

  constructor(options: RecoveryOptions) {
    this.#options = options;
    const { onEvent, targetPath } = options;
    this.#stream = new RecoveryStream(options.memory, {
      write: (bytes) => {
        this.#socket?.write(bytes);
      },
      answered: () => {
        // As TargetConnection.openSecond does: QEMU waits for it where it has the capability postcopy-preempt.
        this.#second = connect({ path: targetPath });
        this.#second.on('error', () => undefined);
        this.#second.resume();
      },
      known: (pagesMissing) => {
        onEvent({ event: 'recovering', pages_pending: pagesMissing });
      },
      recovered: () => {
        onEvent({ event: 'started' });
        onEvent({ event: 'done', ...this.#counters() });
        this.#end({ result: 'migrated' });
      },
    });
  }

  run(): Promise<EngineOutcome> {
    const { targetPath, interrupts } = this.#options;
    const socket = connect({ path: targetPath });
    this.#socket = socket;
    socket.on('connect', () => {
      this.#guarded(() => {
        this.#stream.begin();
      });
    });
    socket.on('data', (bytes: Buffer) => {
      this.#guarded(() => {
        this.#stream.take(bytes);
        this.#send();
      });
    });
    socket.on('drain', () => {
      this.#guarded(() => {
        this.#send();
      });
    });
    socket.on('error', (cause: NodeJS.ErrnoException) => {
      const nobody = ['ENOENT', 'ECONNREFUSED'].includes(cause.code ?? '');
      const what = nobody
        ? `nobody waits on ${targetPath}: first tell the target QEMU {"execute": "migrate-recover", "arguments": {"uri": "unix:PATH"}}`
        : `the connection to the target QEMU broke: ${cause.message}`;
      this.#fail(new CodedError('recovery', 'target-failed', what, { cause }));
    });
    socket.on('end', () => {
      this.#fail(
        new CodedError(
          'recovery',
          'target-failed',
          'the target QEMU closed its connection; its own messages say why',
        ),
      );
    });
    interrupts?.subscribe(() => {
      if (this.#over) return;
      this.#options.onEvent({ event: 'incomplete', reason: 'interrupted', advice: recoveryFailed });
      this.#end({ result: 'cancelled' });
    });
    this.#ticks = setInterval(() => {
      this.#tick();
    }, progressMs);
    return this.#outcome.promise;
  }

  /** A part at a time, so that requests are read between them. */
  #send(): void {
    if (this.#scheduled || this.#socket?.writableNeedDrain === true) return;
    if (!this.#stream.send(partBytes)) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#guarded(() => {
        this.#send();
      });
    });
  }

  #tick(): void {
    if (this.#stream.state === 'sending' || this.#stream.state === 'ending')
      this.#options.onEvent({ event: 'progress', ...this.#counters() });
    const verdict = this.#waits.update(this.#wait, performance.now());
    if (verdict.is === 'quiet') return;
    this.#options.onEvent(verdict.event);
    if (verdict.is === 'limit') this.#fail(new CodedError('recovery', 'limit', verdict.reason));
  }

  get #wait(): Wait {
    const limitMs = this.#options.stallMs;
    switch (this.#stream.state) {
      case 'asking':
      case 'resuming':
        return { what: "the target's word on what it misses", limitMs };
      case 'sending':
        return { what: 'the target QEMU to read', limitMs, progress: this.#socket?.bytesWritten ?? 0 };
      case 'ending':
      case 'recovered':
        return { what: "the target's word that it has everything", limitMs };
    }
  }

  #guarded(body: () => void): void {
    if (this.#over) return;
    try {
      body();
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #fail(error: Error): void {
    if (this.#over) return;
    const { code = 'failed' } = error as Error & { readonly code?: string };
    // Another target than the right one has not to be recovered.
    const advice = isCoded(error, 'recovery', 'another-vm') ? {} : { advice: recoveryFailed };
    this.#options.onEvent({ event: 'failed', code, reason: error.message, peer: false, ...advice });
    this.#end({ result: 'failed', error });
  }

  #end(outcome: EngineOutcome): void {
    this.#over = true;
    clearInterval(this.#ticks);
    this.#second?.destroy();
    if (outcome.result === 'migrated') this.#socket?.end();
    else this.#socket?.destroy();
    this.#outcome.resolve(outcome);
  }

  #counters(): EngineCounters {
    const sentBytes = this.#socket?.bytesWritten ?? 0;
    return {
      ...emptyCounters,
      pages_pending: this.#stream.pagesMissing,
      qemu_bytes: sentBytes,
      migration_link_bytes: sentBytes,
      migration_link_back_bytes: this.#socket?.bytesRead ?? 0,
      ...processCounters(),
    };
  }
}
