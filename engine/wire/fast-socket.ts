/**
 * Connections that are read through one fixed buffer. A stream of gigabytes read as 'data' events would allocate every byte
 * of it anew, at a third of the speed; and reading could not be put off.
 */
import { connect, createServer, type Server, Socket } from 'node:net';

/**
 * Gets each chunk, valid only during the call; returns false to stop reading until the socket's `resume()`, and nothing is
 * taken from the kernel meanwhile.
 */
export type ChunkHandler = (chunk: Buffer) => boolean;

/** What a socket is read through; its size can change while it is in use. */
export class ReadBuffer {
  #buffer: Buffer;

  constructor(bytes: number) {
    this.#buffer = Buffer.allocUnsafeSlow(bytes);
  }

  /** From the next but one read on, so much is read at once. */
  resize(bytes: number): void {
    this.#buffer = Buffer.allocUnsafeSlow(bytes);
  }

  /** As net.Socket's option `onread` takes it. */
  handler(onChunk: ChunkHandler) {
    return {
      buffer: (): Buffer => this.#buffer,
      callback: (length: number, buffer: Uint8Array): boolean =>
        onChunk(Buffer.from(buffer.buffer, buffer.byteOffset, length)),
    };
  }
}

/** Opens a socket whose bytes go to the handler. */
export type SocketOpener = (onChunk: ChunkHandler, buffer: ReadBuffer) => Socket;

/**
 * A server whose connections are meant for `adopt`.
 *
 * @param allowHalfOpen whether both directions close one by one, as QEMU's return path needs
 */
export function createPausedServer(allowHalfOpen: boolean, onConnection: (accepted: Socket) => void): Server {
  return createServer({ pauseOnConnect: true, allowHalfOpen }, onConnection);
}

/**
 * Takes over the connection of `accepted`: a paused one, or one of TLS that was secured in this very call of its event, so
 * that nothing of it was read by anybody.
 */
export function adopt(accepted: Socket, buffer: ReadBuffer, onChunk: ChunkHandler): Socket {
  // Node offers `onread` for its own connections only; an accepted one has to change its wrapper. The handle is what
  // net.Socket documents as the `handle` option's type, without naming it.
  const holder = accepted as unknown as { _handle: unknown };
  const handle = holder._handle;
  holder._handle = null;
  const { allowHalfOpen } = accepted;
  const options = { handle, allowHalfOpen, onread: buffer.handler(onChunk) };
  return new Socket(options as unknown as ConstructorParameters<typeof Socket>[0]);
}

/** Connects to a TCP port. */
export function connectTo(host: string, port: number, buffer: ReadBuffer, onChunk: ChunkHandler): Socket {
  return connect({ host, port, onread: buffer.handler(onChunk) });
}
