/** Waits for the source engine: the first that connects and greets is the one that is served. */
import type { Server, Socket } from 'node:net';
import { EngineConnection, readBytes } from '../wire/connection.ts';
import { adopt, createPausedServer } from '../wire/fast-socket.ts';
import type { FrameType } from '../wire/frame.ts';
import { type Liveness, ownHello, takeHello } from '../wire/hello.ts';
import { encodeMessage } from '../wire/messages.ts';
import { WireError } from '../wire/wire-error.ts';
import { DestinationError } from './destination-error.ts';

export interface SourceHandler {
  listening(address: string): void;
  greeted(connection: EngineConnection, peer: string, compression: 'none' | 'zstd'): void;
  /** A frame after the greeting; the payload is valid only during the call. */
  takeFrame(type: FrameType, payload: Buffer): void;
  /** Called after the frames that a chunk completes. */
  afterBatch(): void;
  /** The source's connection has ended: with its error, or without one. */
  sourceClosed(error: Error | undefined): void;
  /** Whether the target will never run if this engine gives up now. */
  readonly targetNeverRuns: boolean;
  /** It cannot listen. */
  fail(error: DestinationError): void;
}

export class SourceListener {
  readonly #vm: string | undefined;
  readonly #liveness: Liveness;
  readonly #handler: SourceHandler;
  readonly #server: Server;
  #served: EngineConnection | undefined;

  constructor(vm: string | undefined, liveness: Liveness, handler: SourceHandler) {
    this.#vm = vm;
    this.#liveness = liveness;
    this.#handler = handler;
    this.#server = createPausedServer(false, (accepted) => {
      this.#accept(accepted);
    });
    this.#server.on('error', (cause) => {
      handler.fail(new DestinationError('listen-failed', `cannot listen: ${cause.message}`, cause));
    });
  }

  listen(host: string, port: number): void {
    this.#server.listen(port, host, () => {
      const address = this.#server.address();
      const boundPort = typeof address === 'object' && address !== null ? address.port : port;
      this.#handler.listening(`${host}:${boundPort}`);
    });
  }

  close(): void {
    this.#server.close();
  }

  /** Something that connects and does not greet, such as a port scan, is let go. */
  #accept(accepted: Socket): void {
    const peer = `${accepted.remoteAddress ?? ''}:${accepted.remotePort ?? 0}`;
    const handler = this.#handler;
    const own = ownHello('destination', this.#vm, this.#liveness);
    const connection = new EngineConnection((onChunk) => adopt(accepted, readBytes, onChunk), {
      ...this.#liveness,
      onFrame: (type, payload) => {
        if (connection === this.#served) {
          handler.takeFrame(type, payload);
          return;
        }
        if (type !== 'hello') throw new WireError('malformed', `the other engine begins with "${type}"`);
        if (this.#served !== undefined) throw new WireError('incompatible', 'another migration is served');
        const other = takeHello(own, payload, this.#liveness.timeoutMs);
        this.#served = connection;
        this.close();
        handler.greeted(connection, peer, other.compression.includes('zstd') ? 'zstd' : 'none');
      },
      onBatch: () => {
        if (connection === this.#served) handler.afterBatch();
      },
      targetNeverRuns: () => handler.targetNeverRuns,
      onClosed: (error) => {
        if (connection === this.#served) handler.sourceClosed(error);
      },
    });
    connection.send('hello', encodeMessage(own));
  }
}
