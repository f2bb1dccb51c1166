/**
 * Waits for the source engine. Whoever connects is a stranger until it has shown that it is the source of this migration:
 * strangers get little time and memory, are told nothing, and end nothing but themselves.
 */
import type { Server, Socket } from 'node:net';
import { CodedError } from '../../foundation/coded-error.ts';
import { endpoint } from '../../foundation/endpoint.ts';
import type { EventSink } from '../core/engine-event.ts';
import { EngineConnection } from '../wire/connection.ts';
import { adopt, createPausedServer, type SocketOpener } from '../wire/fast-socket.ts';
import type { FrameType } from '../wire/frame.ts';
import { type Liveness, ownHello, takeHello } from '../wire/hello.ts';
import { encodeMessage } from '../wire/messages.ts';
import { type PeerSecurity, peerGate, protectionOf } from '../wire/peer-security.ts';
import { type Waiting, WaitingRoom } from '../wire/waiting-room.ts';

/**
 * Of which the source needs one, until it has shown the key: so many others have to come meanwhile to displace it, each from an address of
 * its own. Each can cost what TLS takes for a ClientHello, 128 KiB.
 */
const places = 128;

export interface SourceHandler {
  listening(address: string): void;
  greeted(connection: EngineConnection, peer: string, compression: 'none' | 'zstd'): void;
  /** A frame after the greeting; the payload is valid only during the call. */
  takeFrame(type: FrameType, payload: Buffer): void;
  /** Called after the frames that a chunk completes. */
  afterBatch(): void;
  /** The source's connection has ended: with its error, or without one. `vouched`: it was told `targetNeverRuns`. */
  sourceClosed(error: Error | undefined, vouched: boolean): void;
  /** Whether the target will never run if this engine gives up now. */
  readonly targetNeverRuns: boolean;
  /** It cannot listen. */
  fail(error: CodedError<'destination'>): void;
}

interface ListenerOptions {
  readonly security: PeerSecurity;
  readonly vm?: string;
  readonly liveness: Liveness;
  readonly onEvent: EventSink;
}

interface Stranger extends Waiting {
  readonly peer: string;
  /** What stands for its connection now: it changes hands (fast-socket.ts, adopt). */
  socket: Socket;
  isRefused: boolean;
}

export class SourceListener {
  readonly #options: ListenerOptions;
  readonly #handler: SourceHandler;
  readonly #server: Server;
  readonly #admit: ReturnType<typeof peerGate>;
  readonly #room = new WaitingRoom<Stranger>(places);
  #strangers = 0;
  #served: EngineConnection | undefined;

  constructor(options: ListenerOptions, handler: SourceHandler) {
    this.#options = options;
    this.#handler = handler;
    this.#admit = peerGate(options.security, options.liveness.timeoutMs);
    this.#server = createPausedServer(false, (accepted) => {
      this.#accept(accepted);
    });
    this.#server.on('error', (cause) => {
      handler.fail(
        new CodedError('destination', 'listen-failed', `cannot listen: ${cause.message}`, { cause }),
      );
    });
  }

  listen(host: string, port: number): void {
    if (this.#options.security.by === 'nothing') this.#options.onEvent({ event: 'insecure-plaintext' });
    this.#server.listen(port, host, () => {
      const address = this.#server.address();
      const boundPort = typeof address === 'object' && address !== null ? address.port : port;
      this.#handler.listening(endpoint(host, boundPort));
    });
  }

  close(): void {
    this.#server.close();
    for (const stranger of this.#room.all) {
      // Who is sent away because this engine ends is nothing to tell of.
      stranger.isRefused = true;
      stranger.socket.destroy();
    }
  }

  #accept(accepted: Socket): void {
    accepted.on('error', () => undefined);
    const address = accepted.remoteAddress ?? '';
    const peer = endpoint(address, accepted.remotePort ?? 0);
    const stranger: Stranger = {
      address,
      peer,
      isAuthenticated: false,
      socket: accepted,
      isRefused: false,
    };
    const { security, liveness } = this.#options;
    const dueMs = performance.now() + liveness.timeoutMs;
    const late = setTimeout(() => {
      this.#refuse(stranger, `no greeting within ${liveness.timeoutMs} ms`);
      stranger.socket.destroy();
    }, liveness.timeoutMs);
    accepted.once('close', () => {
      clearTimeout(late);
      this.#room.leave(stranger);
    });
    const displaced = this.#room.enter(stranger);
    if (displaced !== undefined) {
      this.#refuse(displaced, 'too many connections that have not greeted');
      displaced.socket.destroy();
    }
    this.#admit(
      accepted,
      (secured) => {
        clearTimeout(late);
        stranger.isAuthenticated = security.by !== 'nothing';
        this.#awaitHello(stranger, secured, Math.max(1, dueMs - performance.now()));
      },
      (reason) => {
        this.#refuse(stranger, reason);
      },
    );
  }

  #awaitHello(stranger: Stranger, secured: Socket, greetingMs: number): void {
    const { security, vm, liveness } = this.#options;
    const handler = this.#handler;
    const own = ownHello('destination', vm, liveness);
    const open: SocketOpener = (onChunk, buffer) => {
      stranger.socket = adopt(secured, buffer, onChunk);
      return stranger.socket.once('close', () => {
        this.#room.leave(stranger);
      });
    };
    const connection = new EngineConnection(open, {
      ...liveness,
      protection: protectionOf(security),
      greetingMs,
      onFrame: (type, payload) => {
        if (connection === this.#served) {
          handler.takeFrame(type, payload);
          return;
        }
        const other = takeHello(own, vm, payload, liveness.timeoutMs);
        if (this.#served !== undefined)
          throw new CodedError('wire', 'incompatible', 'another migration is served');
        this.#room.leave(stranger);
        this.#served = connection;
        this.close();
        connection.greeted();
        connection.send('hello', encodeMessage(own));
        handler.greeted(connection, stranger.peer, other.compression.includes('zstd') ? 'zstd' : 'none');
      },
      onBatch: () => {
        if (connection === this.#served) handler.afterBatch();
      },
      targetNeverRuns: () => handler.targetNeverRuns,
      onClosed: (error, vouched) => {
        if (connection === this.#served) handler.sourceClosed(error, vouched);
        else this.#refuse(stranger, (error ?? new CodedError('wire', 'closed', 'it went away')).message);
      },
    });
  }

  /** Tells of it: one line for each of the first strangers, then ever fewer, however many come. */
  #refuse(stranger: Stranger, reason: string): void {
    if (stranger.isRefused || this.#served !== undefined) return;
    stranger.isRefused = true;
    this.#strangers += 1;
    const isTold = this.#strangers <= 8 || Number.isInteger(Math.log2(this.#strangers));
    if (!isTold) return;
    this.#options.onEvent({ event: 'stranger', peer: stranger.peer, reason, strangers: this.#strangers });
  }
}
