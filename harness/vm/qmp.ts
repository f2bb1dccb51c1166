/** A QMP client over a unix socket of this machine (`Host.forwardSocket` makes one of a host's). */
import { createConnection, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { LineSplitter } from '../probes/line-splitter.ts';
import { QmpError } from './qmp-error.ts';
import { parseMessage, type QmpCommands, type QmpEvent, type QmpMessage } from './qmp-messages.ts';

type Command = keyof QmpCommands;
type CommandArguments<Name extends Command> = QmpCommands[Name][0];
type Answer<Name extends Command> = QmpCommands[Name][1];

/** Arguments may be left out where the command has none. */
type Arguments<Name extends Command> =
  CommandArguments<Name> extends Readonly<Record<string, never>> ? [] : [CommandArguments<Name>];

interface Pending {
  readonly command: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: QmpError) => void;
}

export interface ConnectOptions {
  /** Time in which QEMU must have greeted; attempts are repeated until then. Default 10 000. */
  readonly timeoutMs?: number;
}

const retryMs = 50;

export class QmpClient {
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  readonly #lossListeners = new Set<(error: QmpError) => void>();
  #nextId = 1;
  #lost: QmpError | undefined;
  #onGreeting: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const lines = new LineSplitter();
    socket.on('data', (chunk) => {
      const receivedAtMs = Date.now();
      try {
        for (const line of lines.push(chunk))
          if (line.trim() !== '') this.#receive(parseMessage(line, receivedAtMs));
      } catch (error) {
        socket.destroy(error as QmpError);
      }
    });
    let cause: Error | undefined;
    socket.on('error', (error) => (cause = error));
    socket.on('close', () => {
      this.#lose(
        cause instanceof QmpError
          ? cause
          : new QmpError(
              'connection-lost',
              `the connection to QEMU ended${cause ? `: ${cause.message}` : ''}`,
              {
                cause,
              },
            ),
      );
    });
  }

  /**
   * Connects, waits for QEMU's greeting and negotiates. QEMU serves one client a socket: a second one waits for its
   * greeting until it times out.
   * @throws QmpError 'connect-failed'
   */
  static async connect(socketPath: string, { timeoutMs = 10_000 }: ConnectOptions = {}): Promise<QmpClient> {
    const deadlineMs = performance.now() + timeoutMs;
    for (;;) {
      try {
        return await QmpClient.#attempt(socketPath, Math.max(1, deadlineMs - performance.now()));
      } catch (error) {
        if (performance.now() + retryMs >= deadlineMs)
          throw new QmpError(
            'connect-failed',
            `QEMU does not answer at ${socketPath} within ${timeoutMs} ms: ${(error as Error).message}`,
            { cause: error },
          );
        await sleep(retryMs);
      }
    }
  }

  static async #attempt(socketPath: string, timeoutMs: number): Promise<QmpClient> {
    const client = new QmpClient(createConnection(socketPath));
    const timer = setTimeout(() => {
      client.#socket.destroy(new QmpError('timeout', 'no greeting'));
    }, timeoutMs);
    try {
      await new Promise<void>((resolve, reject) => {
        client.#onGreeting = resolve;
        client.#lossListeners.add(reject);
      });
      client.#lossListeners.clear();
      await client.execute('qmp_capabilities');
      return client;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Runs a command and returns QEMU's answer.
   * @throws QmpError 'command-failed' with QEMU's reason, or 'connection-lost'
   */
  execute<Name extends Command>(
    command: Name,
    ...[commandArguments]: Arguments<Name>
  ): Promise<Answer<Name>> {
    if (this.#lost !== undefined) return Promise.reject(this.#lost);
    const id = this.#nextId++;
    return new Promise<unknown>((resolve, reject) => {
      this.#pending.set(id, { command, resolve, reject });
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: commandArguments, id })}\n`);
    }) as Promise<Answer<Name>>; // QEMU's schema says so
  }

  /** Calls the listener for every event from now on. Returns what ends it. */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * The first event from now on that the predicate accepts: call it before what causes the event.
   * @throws QmpError 'timeout' or 'connection-lost'; the signal's reason when it aborts
   */
  waitForEvent<Event extends QmpEvent>(
    accepts: (event: QmpEvent) => event is Event,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<Event>;
  waitForEvent(
    accepts: (event: QmpEvent) => boolean,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<QmpEvent>;
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
      const onLoss = (error: QmpError): void => {
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
        onLoss(new QmpError('timeout', `the expected event did not come within ${timeoutMs} ms`));
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
    this.#lose(new QmpError('connection-lost', 'the QMP connection was closed here'));
    this.#socket.destroy();
  }

  #receive(message: QmpMessage): void {
    switch (message.kind) {
      case 'greeting':
        this.#onGreeting?.();
        break;
      case 'event':
        for (const listener of [...this.#listeners]) listener(message.event);
        break;
      case 'answer':
        this.#take(message.id)?.resolve(message.value);
        break;
      case 'refusal': {
        const pending = this.#take(message.id);
        pending?.reject(new QmpError('command-failed', `${pending.command}: ${message.reason}`));
        break;
      }
    }
  }

  #take(id: number | undefined): Pending | undefined {
    if (id === undefined) return undefined;
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }

  #lose(error: QmpError): void {
    if (this.#lost !== undefined) return;
    this.#lost = error;
    for (const { command, reject } of this.#pending.values())
      reject(new QmpError(error.code, `${command}: ${error.message}`, { cause: error }));
    this.#pending.clear();
    for (const listener of [...this.#lossListeners]) listener(error);
  }
}
