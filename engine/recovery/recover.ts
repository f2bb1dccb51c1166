/** Runs one recovery: a connection to the target QEMU, which waits for one since it was told `migrate-recover`. */
import { connect, type Socket } from 'node:net';
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import { recoveryFailed, storageLacks } from '../core/advice.ts';
import { emptyCounters, type EngineCounters, type EventSink, processCounters } from '../core/engine-event.ts';
import type { EngineOutcome, Interrupts } from '../core/engine-options.ts';
import { type Wait, WaitWatch } from '../core/wait-watch.ts';
import type { PageRange } from './missing-pages.ts';
import { type LeftMemory, type MovedVm, RecoveryStream } from './recovery-stream.ts';

/** Where pages on storage go. */
interface GivenPages {
  readonly missing: { has(block: number, page: number): boolean };
  /** Whether pages can be given now; `pump` is called when that changes. */
  readonly canGive: boolean;
  /** The content is valid only during the call. */
  give(block: number, page: number, content: Buffer, offset: number): void;
  /** Called after each row of `give`, and when storage has not given something. */
  given(): void;
  fail(error: unknown): void;
}

/** What storage has of the VM that was moved. */
interface LeftStorage extends MovedVm {
  /** Known what is missing. @throws CodedError 'recovery', 'file' if storage is not what it was */
  begin(to: GivenPages): void;
  /** Its VM waits for pages among these. */
  wanted(range: PageRange): void;
  /** Reads, and gives what was read, as far as there is room. */
  pump(): void;
  /** Starts no more reads. */
  stop(): void;
  /** Nothing more will be given. */
  readonly isExhausted: boolean;
  readonly counters: Pick<
    EngineCounters,
    'pages_restored' | 'pages_mismatched' | 'pages_unreadable' | 'storage_link_bytes'
  >;
}

interface RecoveryOptions {
  readonly left: LeftMemory | LeftStorage;
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
  readonly #storage: LeftStorage | undefined;
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
    this.#storage = 'begin' in options.left ? options.left : undefined;
    this.#stream = new RecoveryStream(options.left, {
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
        this.#storage?.begin(this.#givenPages());
        onEvent({ event: 'recovering', pages_pending: pagesMissing });
      },
      wanted: (range) => {
        this.#storage?.wanted(range);
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

  #givenPages(): GivenPages {
    const stream = this.#stream;
    const isOver = (): boolean => this.#over;
    const canGive = (): boolean => stream.state === 'sending' && this.#socket?.writableNeedDrain === false;
    return {
      missing: stream.missing,
      get canGive() {
        return !isOver() && canGive();
      },
      give: (block, page, content, offset) => {
        stream.give(block, page, content, offset);
      },
      given: () => {
        stream.given();
        this.#endIfExhausted();
      },
      fail: (error) => {
        this.#fail(error instanceof Error ? error : new Error(String(error)));
      },
    };
  }

  /** What storage has not is missing still. */
  #endIfExhausted(): void {
    if (this.#over || this.#stream.state !== 'sending' || this.#storage?.isExhausted !== true) return;
    const { pages_mismatched: differ, pages_unreadable: unreadable } = this.#storage.counters;
    const { pagesMissing } = this.#stream;
    const elsewhere = pagesMissing - differ - unreadable;
    const reason =
      `${pagesMissing} pages are missing still, and the VM waits wherever it touches one: storage has other content of ${differ}, ` +
      `${unreadable} could not be read, and where ${elsewhere} lie is not known or cannot be opened`;
    this.#options.onEvent({ event: 'progress', ...this.#counters() });
    this.#options.onEvent({ event: 'incomplete', reason, advice: storageLacks });
    this.#end({ result: 'incomplete', error: new CodedError('recovery', 'incomplete', reason) });
  }

  /** A part at a time, so that requests are read between them. */
  #send(): void {
    if (this.#storage !== undefined) {
      if (this.#stream.state !== 'sending') return;
      this.#storage.pump();
      this.#endIfExhausted();
      return;
    }
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
        // Reads of storage have a limit of their own.
        if (this.#storage !== undefined && this.#socket?.writableNeedDrain === false)
          return {
            what: 'storage',
            progress: this.#stream.pagesMissing + this.#storage.counters.storage_link_bytes,
          };
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
    this.#storage?.stop();
    // What was given goes out.
    if (outcome.result === 'migrated' || outcome.result === 'incomplete') this.#socket?.end();
    else this.#socket?.destroy();
    this.#outcome.resolve(outcome);
  }

  #counters(): EngineCounters {
    const sentBytes = this.#socket?.bytesWritten ?? 0;
    return {
      ...emptyCounters,
      ...this.#storage?.counters,
      pages_pending: this.#stream.pagesMissing,
      qemu_bytes: sentBytes,
      migration_link_bytes: sentBytes,
      migration_link_back_bytes: this.#socket?.bytesRead ?? 0,
      ...processCounters(),
    };
  }
}
