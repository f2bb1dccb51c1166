/** The QMP client: over a unix socket of this machine (`Host.forwardSocket` makes one of a host's), or a QEMU's own pipes. */
import { createConnection } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import { LineSplitter } from '../../foundation/line-splitter.ts';
import {
  type Answer,
  answerSchemas,
  parseMessage,
  type QmpCommand,
  type QmpCommands,
  type QmpEvent,
  type QmpMessage,
} from './messages.ts';

/** How one command is carried out. */
interface CommandOptions {
  /** Time in which QEMU must have answered. Default 300 000: it answers late while it switches over. */
  readonly timeoutMs?: number;
  /** Runs it before commands that QEMU has not answered yet; `NegotiateOptions.outOfBand` asked for that. Few commands may (qapi: 'allow-oob'). */
  readonly outOfBand?: boolean;
}

/** The command's arguments, which may be left out where it has none. */
export type CommandArguments<Name extends QmpCommand> =
  QmpCommands[Name] extends Readonly<Record<string, never>>
    ? [commandArguments?: QmpCommands[Name], options?: CommandOptions]
    : [commandArguments: QmpCommands[Name], options?: CommandOptions];

interface Pending {
  readonly command: string;
  readonly timer: NodeJS.Timeout;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: CodedError<'qmp'>) => void;
}

interface NegotiateOptions {
  /** Time in which QEMU must have greeted. Default 10 000. */
  readonly timeoutMs?: number;
  /** Gets every event from the first on. */
  readonly onEvent?: (event: QmpEvent) => void;
  /** Asks for commands that overtake others, where QEMU offers them. Default false. */
  readonly outOfBand?: boolean;
}

interface ConnectOptions extends NegotiateOptions {
  /** Ends the waiting for a QEMU that does not answer yet. */
  readonly signal?: AbortSignal;
  /** Asked when an attempt has failed: whether there is a QEMU that could still answer. Default: one may come. */
  readonly isThere?: () => Promise<boolean>;
}

const defaultAnswerMs = 300_000;
const defaultGreetingMs = 10_000;
const retryMs = 50;

/** Wall-clock time: ms since the epoch, with fractions, never going back while the process lives. */
const nowMs = (): number => performance.timeOrigin + performance.now();

export class QmpClient {
  readonly #output: Writable;
  readonly #destroy: (error?: Error) => void;
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  readonly #lossListeners = new Set<(error: CodedError<'qmp'>) => void>();
  #nextId = 1;
  #lost: CodedError<'qmp'> | undefined;
  #onGreeting: ((greeting: Extract<QmpMessage, { kind: 'greeting' }>) => void) | undefined;

  private constructor(input: Readable, output: Writable) {
    this.#output = output;
    let cause: Error | undefined;
    this.#destroy = (error) => {
      cause ??= error;
      input.destroy();
      output.destroy();
    };
    const lines = new LineSplitter();
    input.on('data', (chunk: Buffer) => {
      const receivedAtMs = nowMs();
      try {
        for (const line of lines.push(chunk))
          if (line.trim() !== '') this.#receive(parseMessage(line, receivedAtMs));
      } catch (error) {
        this.#destroy(error as CodedError<'qmp'>);
      }
    });
    for (const stream of new Set([input, output])) stream.on('error', (error) => (cause ??= error));
    input.on('close', () => {
      const why = cause === undefined ? '' : `: ${cause.message}`;
      this.#lose(
        isCoded(cause, 'qmp')
          ? cause
          : new CodedError('qmp', 'connection-lost', `the connection to QEMU ended${why}`, { cause }),
      );
    });
  }

  /**
   * Connects, waits for QEMU's greeting and negotiates; attempts are repeated until the time is over. QEMU serves one client
   * a socket: a second one waits for its greeting until it times out.
   * @throws CodedError 'qmp', 'connect-failed'; the signal's reason when it aborts; as `isThere` does
   */
  static async connect(socketPath: string, options: ConnectOptions = {}): Promise<QmpClient> {
    const { timeoutMs = defaultGreetingMs, signal, isThere = () => Promise.resolve(true) } = options;
    const deadlineMs = performance.now() + timeoutMs;
    for (;;) {
      signal?.throwIfAborted();
      const socket = createConnection(socketPath);
      const onAbort = (): void => void socket.destroy();
      signal?.addEventListener('abort', onAbort);
      try {
        const leftMs = Math.max(1, deadlineMs - performance.now());
        return await QmpClient.negotiate(socket, socket, { ...options, timeoutMs: leftMs });
      } catch (error) {
        signal?.throwIfAborted();
        const isOver = performance.now() + retryMs >= deadlineMs;
        if (isOver || !(await isThere())) {
          const why = `${isOver ? ` within ${timeoutMs} ms` : ', and is not there'}: ${(error as Error).message}`;
          throw new CodedError('qmp', 'connect-failed', `QEMU does not answer at ${socketPath}${why}`, {
            cause: error,
          });
        }
        await sleep(retryMs);
      } finally {
        signal?.removeEventListener('abort', onAbort);
      }
    }
  }

  /**
   * Waits for the greeting of a QEMU whose monitor is these two streams, and negotiates.
   * @throws CodedError 'qmp', 'timeout', 'connection-lost' or 'protocol'
   */
  static async negotiate(
    input: Readable,
    output: Writable,
    { timeoutMs = defaultGreetingMs, onEvent, outOfBand = false }: NegotiateOptions = {},
  ): Promise<QmpClient> {
    const client = new QmpClient(input, output);
    if (onEvent !== undefined) client.onEvent(onEvent);
    const timer = setTimeout(() => {
      client.#destroy(
        new CodedError(
          'qmp',
          'timeout',
          'no greeting; another client may hold it, and QEMU serves one at a time',
        ),
      );
    }, timeoutMs);
    try {
      const greeting = await new Promise<{ readonly outOfBand: boolean }>((resolve, reject) => {
        client.#onGreeting = resolve;
        client.#lossListeners.add(reject);
      });
      client.#lossListeners.clear();
      const enable = outOfBand && greeting.outOfBand ? ['oob'] : [];
      await client.#send('qmp_capabilities', { enable }, {});
      return client;
    } catch (error) {
      client.close();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Runs a command and returns QEMU's answer.
   * @throws CodedError 'qmp', 'command-failed' with QEMU's reason, 'timeout', 'connection-lost', or 'protocol' where the answer is not
   *   what QEMU's schema says
   */
  async execute<Name extends QmpCommand>(
    command: Name,
    ...[commandArguments, options = {}]: CommandArguments<Name>
  ): Promise<Answer<Name>> {
    const value = await this.#send(command, commandArguments, options);
    const schema =
      command in answerSchemas ? answerSchemas[command as keyof typeof answerSchemas] : undefined;
    const parsed = schema?.safeParse(value);
    if (parsed?.success === false)
      throw new CodedError('qmp', 'protocol', `${command}: not QEMU's answer: ${parsed.error.message}`);
    return (parsed?.data ?? value) as Answer<Name>;
  }

  /** Calls the listener for every event from now on. Returns what ends it. */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Whether the connection has ended. */
  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  /** Calls the listener once, when the connection has ended: at once where it has. */
  onLoss(listener: (error: CodedError<'qmp'>) => void): void {
    if (this.#lost === undefined) this.#lossListeners.add(listener);
    else listener(this.#lost);
  }

  /**
   * The first event from now on that the predicate accepts: call it before what causes the event.
   * @throws CodedError 'qmp', 'timeout' or 'connection-lost'; the signal's reason when it aborts
   */
  waitForEvent(
    accepts: (event: QmpEvent) => boolean,
    { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<QmpEvent> {
    if (this.#lost !== undefined) return Promise.reject(this.#lost);
    return new Promise((resolve, reject) => {
      const settle = (finish: () => void): void => {
        clearTimeout(timer);
        stopListening();
        this.#lossListeners.delete(onLoss);
        signal?.removeEventListener('abort', onAbort);
        finish();
      };
      const onLoss = (error: CodedError<'qmp'>): void => {
        settle(() => {
          reject(error);
        });
      };
      const onAbort = (): void => {
        settle(() => {
          reject(signal?.reason as Error);
        });
      };
      const timer = setTimeout(() => {
        onLoss(new CodedError('qmp', 'timeout', `the expected event did not come within ${timeoutMs} ms`));
      }, timeoutMs);
      const stopListening = this.onEvent((event) => {
        if (accepts(event))
          settle(() => {
            resolve(event);
          });
      });
      this.#lossListeners.add(onLoss);
      if (signal?.aborted === true) onAbort();
      else signal?.addEventListener('abort', onAbort);
    });
  }

  /** Ends the connection; pending commands are rejected. QEMU goes on. Idempotent. */
  close(): void {
    this.#lose(new CodedError('qmp', 'connection-lost', 'the QMP connection was closed here'));
    this.#destroy();
  }

  #send(
    command: string,
    commandArguments: object | undefined,
    { timeoutMs = defaultAnswerMs, outOfBand = false }: CommandOptions,
  ): Promise<unknown> {
    if (this.#lost !== undefined) return Promise.reject(this.#lost);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#take(id);
        reject(new CodedError('qmp', 'timeout', `${command}: QEMU has not answered within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#pending.set(id, { command, timer, resolve, reject });
      const message = {
        [outOfBand ? 'exec-oob' : 'execute']: command,
        arguments: commandArguments,
        id,
      };
      this.#output.write(`${JSON.stringify(message)}\n`);
    });
  }

  #receive(message: QmpMessage): void {
    switch (message.kind) {
      case 'greeting':
        this.#onGreeting?.(message);
        break;
      case 'event':
        for (const listener of [...this.#listeners]) listener(message.event);
        break;
      case 'answer':
        this.#take(message.id)?.resolve(message.value);
        break;
      case 'refusal': {
        const pending = this.#take(message.id);
        pending?.reject(new CodedError('qmp', 'command-failed', `${pending.command}: ${message.reason}`));
        break;
      }
    }
  }

  /** An answer that comes after its time is nobody's. */
  #take(id: number | undefined): Pending | undefined {
    if (id === undefined) return undefined;
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    clearTimeout(pending?.timer);
    return pending;
  }

  #lose(error: CodedError<'qmp'>): void {
    if (this.#lost !== undefined) return;
    this.#lost = error;
    for (const { command, timer, reject } of this.#pending.values()) {
      clearTimeout(timer);
      reject(new CodedError('qmp', error.code, `${command}: ${error.message}`, { cause: error }));
    }
    this.#pending.clear();
    for (const listener of [...this.#lossListeners]) listener(error);
  }
}
