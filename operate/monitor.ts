/** QMP of a QEMU on a host, to which the way is found again where ssh has lost it: nobody but this command continues the target. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError, isCoded } from '../foundation/coded-error.ts';
import { type CommandArguments, QmpClient } from '../qemu/qmp/client.ts';
import type { Answer, QmpCommand, QmpEvent } from '../qemu/qmp/messages.ts';
import { lostHost, type OperatedHost, silentMs, type WaitListener } from './host.ts';
import { quote } from '../foundation/shell.ts';

/** As far as this is told, whichever way it goes. */
export type Qemu = Pick<QmpClient, 'execute' | 'onEvent'> & {
  /** Whether its process is gone; false also where nobody can tell. Never rejects. */
  readonly hasEnded?: () => Promise<boolean>;
};

const connectMs = 10_000;
/** Said twice they do no more than once. */
const repeatable: readonly QmpCommand[] = [
  'query-migrate',
  'query-status',
  'stop',
  'cont',
  'migrate-start-postcopy',
  'migrate_cancel',
];

/** Process and user behind a QMP socket, which QEMU may have been told by another path. @throws CodedError 'host' */
export async function processBehind(
  host: Pick<OperatedHost, 'run'>,
  socket: string,
): Promise<{ readonly pid: number; readonly user: string }> {
  const answer = await host.run(
    `pid=$({ ss -Hxlp src ${quote(socket)}; ss -Hxlpe | grep -F " ino:$(stat -Lc %i ${quote(socket)}) "; } | sed -n 's/.*pid=\\([0-9]*\\).*/\\1/p' | head -n 1)
[ -n "$pid" ] || exit 0
echo "$pid $(stat -c %U "/proc/$pid")"`,
  );
  const [pid = '', user = ''] = answer.trim().split(' ');
  return { pid: Number(pid), user };
}

/**
 * Connects to a QEMU that runs, and does not wait for one that has ended.
 *
 * @param way its socket, as it is reached from here
 * @throws CodedError 'qmp'
 */
export async function connectTo(
  host: Pick<OperatedHost, 'name' | 'run'>,
  socket: string,
  way: string,
): Promise<QmpClient> {
  try {
    return await QmpClient.connect(way, {
      timeoutMs: connectMs,
      outOfBand: true,
      isThere: () =>
        processBehind(host, socket).then(
          ({ pid }) => pid > 0,
          // Nobody can tell.
          () => true,
        ),
    });
  } catch (error) {
    if (!isCoded(error, 'qmp')) throw error;
    const message = error.message.replace(way, () => `${socket} on ${host.name}`);
    throw new CodedError('qmp', error.code, message, { cause: error });
  }
}

export class Monitor implements Qemu {
  readonly #host: Pick<OperatedHost, 'name' | 'run' | 'forwardSocket'>;
  readonly #socket: string;
  readonly #name: string;
  readonly #listener: WaitListener;
  /** Of the process that has answered first; 0 where it is not found, and then the way to it is lost when it is lost. */
  readonly #pid: number;
  /** What listens, once there is a new way. */
  readonly #renewals = new Set<() => void>();
  #client: QmpClient;
  #ways = 0;
  #reconnecting: Promise<boolean> | undefined;
  #closed = false;

  private constructor(
    host: Pick<OperatedHost, 'name' | 'run' | 'forwardSocket'>,
    socket: string,
    name: string,
    listener: WaitListener,
    client: QmpClient,
    pid: number,
  ) {
    this.#host = host;
    this.#socket = socket;
    this.#name = name;
    this.#listener = listener;
    this.#client = client;
    this.#pid = pid;
  }

  /**
   * @param name of the socket here, one for each QEMU
   * @param listener is told of a QEMU that is slow to answer
   * @throws CodedError 'host', 'qmp'
   */
  static async open(
    host: Pick<OperatedHost, 'name' | 'run' | 'forwardSocket'>,
    socket: string,
    name: string,
    listener: WaitListener,
  ): Promise<Monitor> {
    const { path } = await host.forwardSocket(socket, name);
    const client = await connectTo(host, socket, path);
    try {
      const { pid } = await processBehind(host, socket);
      return new Monitor(host, socket, name, listener, client, pid);
    } catch (error) {
      client.close();
      throw error;
    }
  }

  /** As `QmpClient.execute`, with its place in errors; what may be said twice is said again over a new way. */
  async execute<Name extends QmpCommand>(
    command: Name,
    ...rest: CommandArguments<Name>
  ): Promise<Answer<Name>> {
    const place = `${this.#socket} on ${this.#host.name}`;
    const silent = setTimeout(() => {
      this.#listener.note(`waiting for the QEMU of ${place} to answer ${command}: ${silentMs / 1000} s`);
    }, silentMs);
    try {
      return await this.#tell(command, ...rest);
    } catch (error) {
      if (!isCoded(error, 'qmp')) throw error;
      throw new CodedError('qmp', error.code, `${place}: ${error.message}`, { cause: error });
    } finally {
      clearTimeout(silent);
    }
  }

  async #tell<Name extends QmpCommand>(
    command: Name,
    ...rest: CommandArguments<Name>
  ): Promise<Answer<Name>> {
    for (;;) {
      try {
        return await this.#client.execute(command, ...rest);
      } catch (error) {
        const isLost = isCoded(error, 'qmp', 'connection-lost');
        if (!isLost || !repeatable.includes(command) || !(await this.#reconnected())) throw error;
      }
    }
  }

  /** As `QmpClient.onEvent`; what QEMU says while nobody hears it is not told later. */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    let stop = this.#client.onEvent(listener);
    const renew = (): void => {
      stop = this.#client.onEvent(listener);
    };
    this.#renewals.add(renew);
    return () => {
      this.#renewals.delete(renew);
      stop();
    };
  }

  async hasEnded(): Promise<boolean> {
    if (this.#pid === 0) return false;
    try {
      return (await processBehind(this.#host, this.#socket)).pid !== this.#pid;
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      return false;
    }
  }

  close(): void {
    this.#closed = true;
    this.#client.close();
  }

  /** Whether there is a new way; one for all who wait for it. Never rejects. */
  async #reconnected(): Promise<boolean> {
    this.#reconnecting ??= this.#reconnect().finally(() => {
      this.#reconnecting = undefined;
    });
    return this.#reconnecting;
  }

  async #reconnect(): Promise<boolean> {
    const untilMs = performance.now() + lostHost.givenUpMs;
    while (!this.#closed && this.#pid > 0 && performance.now() < untilMs) {
      try {
        // Another one may have taken its place, and knows nothing of this migration.
        if ((await processBehind(this.#host, this.#socket)).pid !== this.#pid) return false;
        this.#ways += 1;
        const { path } = await this.#host.forwardSocket(this.#socket, `${this.#name}-${this.#ways}`);
        this.#client = await connectTo(this.#host, this.#socket, path);
        for (const renew of this.#renewals) renew();
        return true;
      } catch (error) {
        if (!(error instanceof CodedError)) throw error;
        await sleep(lostHost.askAgainMs);
      }
    }
    return false;
  }
}
