/**
 * Reads an accepted connection through one fixed buffer. A stream of gigabytes read as 'data' events would allocate every
 * byte of it anew, at a third of the speed.
 */
import { Socket, type Server, createServer } from 'node:net';

/** A server whose connections are meant for `adopt`. Both directions close one by one, as QEMU's return path needs. */
export function createPausedServer(onConnection: (accepted: Socket) => void): Server {
  return createServer({ pauseOnConnect: true, allowHalfOpen: true }, onConnection);
}

/**
 * Takes over the connection of `accepted`, which must be paused.
 *
 * @param onChunk gets each chunk, valid only during the call; returns false to stop reading until `resume()`
 */
export function adopt(accepted: Socket, bufferBytes: number, onChunk: (chunk: Buffer) => boolean): Socket {
  // Node offers `onread` for its own connections only; an accepted one has to change its wrapper. The handle is what
  // net.Socket documents as the `handle` option's type, without naming it.
  const holder = accepted as unknown as { _handle: unknown };
  const handle = holder._handle;
  holder._handle = null;
  const options = {
    handle,
    allowHalfOpen: true,
    onread: {
      buffer: Buffer.allocUnsafeSlow(bufferBytes),
      callback: (bytes: number, buffer: Uint8Array): boolean =>
        onChunk(Buffer.from(buffer.buffer, buffer.byteOffset, bytes)),
    },
  };
  return new Socket(options as unknown as ConstructorParameters<typeof Socket>[0]);
}
