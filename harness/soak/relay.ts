/**
 * A proxy of stream connections that can be paused, cut, slowed down, and made to flip a bit, at any byte. Half-closed
 * connections stay half-closed, as without it.
 */
import { once } from 'node:events';
import { connect, createServer, type NetConnectOpts, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Direction } from './plan.ts';

/** Looks at what is about to cross; returns how many bytes of it may cross before the stream is held, else undefined. */
export type Watch = (chunk: Buffer) => number | undefined;

/** TCP port of this machine, or a unix socket. */
type RelayTarget = { readonly host: string; readonly port: number } | { readonly path: string };

interface Watching {
  readonly watch: Watch;
  readonly reached: () => Promise<void>;
}

export class Relay {
  readonly #server: Server;
  readonly #connections = new Set<readonly [Socket, Socket]>();
  readonly #watching = new Map<Direction, Watching>();
  readonly #flips = new Map<Direction, { readonly fraction: number; readonly bit: number }>();
  /** Settles when the relay is open; undefined while it is. */
  #pause: PromiseWithResolvers<void> | undefined;
  #bytesPerSecond: number | undefined;
  #refuses = false;

  private constructor(target: RelayTarget) {
    this.#server = createServer({ allowHalfOpen: true }, (near) => {
      if (this.#refuses) {
        near.on('error', () => undefined);
        reset(near);
      } else this.#join(near, target);
    });
  }

  /** Listens on a unix socket, or on a free port of the loopback interface. */
  static async start(target: RelayTarget, path?: string): Promise<Relay> {
    const relay = new Relay(target);
    if (path === undefined) relay.#server.listen(0, '127.0.0.1');
    else relay.#server.listen(path);
    await once(relay.#server, 'listening');
    return relay;
  }

  /** HOST:PORT, or the path. */
  get address(): string {
    const address = this.#server.address();
    if (address === null) throw new Error('the relay does not listen');
    return typeof address === 'string' ? address : `${address.address}:${address.port}`;
  }

  /** Calls `reached` once, where `watch` says; the stream is held until it settles. */
  watch(direction: Direction, watch: Watch, reached: () => Promise<void>): void {
    this.#watching.set(direction, { watch, reached });
  }

  pause(): void {
    this.#pause ??= Promise.withResolvers();
  }

  resume(): void {
    this.#pause?.resolve();
    this.#pause = undefined;
  }

  /** Undefined: as fast as it goes. */
  limit(bytesPerSecond: number | undefined): void {
    this.#bytesPerSecond = bytesPerSecond;
  }

  flip(direction: Direction, fraction: number, bit: number): void {
    this.#flips.set(direction, { fraction, bit });
  }

  refuse(refuses: boolean): void {
    this.#refuses = refuses;
  }

  cut(how: 'end' | 'reset'): void {
    for (const pair of this.#connections)
      for (const socket of pair) {
        if (how === 'reset') reset(socket);
        else socket.destroy();
      }
  }

  /** Ends its connections and stops listening. Idempotent. */
  close(): void {
    this.#server.close();
    this.resume();
    this.cut('end');
  }

  #join(near: Socket, target: RelayTarget): void {
    const options: NetConnectOpts = { ...target, allowHalfOpen: true };
    const far = connect(options);
    const pair = [near, far] as const;
    this.#connections.add(pair);
    for (const socket of pair) {
      socket.on('error', () => undefined);
      if (!('path' in target)) socket.setNoDelay();
    }
    void Promise.all([this.#pump(near, far, 'forward'), this.#pump(far, near, 'backward')]).then(() => {
      this.#connections.delete(pair);
    });
  }

  async #pump(from: Socket, to: Socket, direction: Direction): Promise<void> {
    try {
      for await (const chunk of from.iterator({ destroyOnReturn: false })) {
        await this.#forward(chunk as Buffer, to, direction);
      }
      await this.#pause?.promise;
      to.end();
    } catch {
      // What happens to one connection happens to the other, once it can be told.
      await this.#pause?.promise;
      reset(to);
      from.destroy();
    }
  }

  async #forward(chunk: Buffer, to: Socket, direction: Direction): Promise<void> {
    let rest: Buffer = chunk;
    const watching = this.#watching.get(direction);
    const hold = watching?.watch(rest);
    if (watching !== undefined && hold !== undefined) {
      this.#watching.delete(direction);
      await this.#write(rest.subarray(0, hold), to);
      rest = rest.subarray(hold);
      await watching.reached();
    }
    await this.#pause?.promise;
    await this.#write(this.#flipped(rest, direction), to);
  }

  async #write(bytes: Buffer, to: Socket): Promise<void> {
    if (bytes.length === 0) return;
    if (to.destroyed) throw new Error('the other connection has ended');
    if (!to.write(bytes)) await drained(to);
    if (this.#bytesPerSecond !== undefined) await sleep((1000 * bytes.length) / this.#bytesPerSecond);
  }

  #flipped(bytes: Buffer, direction: Direction): Buffer {
    const flip = this.#flips.get(direction);
    if (flip === undefined || bytes.length === 0) return bytes;
    this.#flips.delete(direction);
    const flipped = Buffer.from(bytes);
    const at = Math.floor(flip.fraction * bytes.length);
    flipped[at] = (flipped[at] ?? 0) ^ (1 << flip.bit);
    return flipped;
  }
}

async function drained(socket: Socket): Promise<void> {
  const over = new AbortController();
  const happened = ['drain', 'close'].map((event) => once(socket, event, { signal: over.signal }));
  await Promise.race(happened);
  over.abort();
}

function reset(socket: Socket): void {
  // Only TCP can be reset.
  if (socket.connecting || socket.destroyed || socket.remoteAddress === undefined) socket.destroy();
  else socket.resetAndDestroy();
}

/** Holds after so many bytes. */
export function afterBytes(bytes: number): Watch {
  let seen = 0;
  return (chunk) => {
    const before = seen;
    seen += chunk.length;
    return seen >= bytes ? bytes - before : undefined;
  };
}
