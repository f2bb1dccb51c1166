/** The source QEMU's connection: it migrates to a unix socket; one connection is taken. */
import { rmSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { adopt, createPausedServer, ReadBuffer } from '../wire/fast-socket.ts';
import { SourceError } from './source-error.ts';

const readBytes = 1024 * 1024;

export interface QemuHandler {
  listening(): void;
  connected(): void;
  /** Takes a chunk, valid only during the call; returns whether to read on, or to wait for `readOn`. */
  chunk(chunk: Buffer): boolean;
  /** QEMU has closed its end, or the connection broke; nothing comes any more. */
  closed(error: SourceError): void;
  /** It cannot listen. */
  failed(error: SourceError): void;
}

export class QemuConnection {
  readonly #path: string;
  readonly #handler: QemuHandler;
  readonly #server: Server;
  #socket: Socket | undefined;
  #waiting = false;
  #closed = false;

  constructor(path: string, handler: QemuHandler) {
    this.#path = path;
    this.#handler = handler;
    this.#server = createPausedServer(true, (accepted) => {
      this.#accept(accepted);
    });
    this.#server.on('error', (cause) => {
      handler.failed(new SourceError('qemu-closed', `cannot listen on ${path}: ${cause.message}`, cause));
    });
  }

  listen(): void {
    rmSync(this.#path, { force: true });
    this.#server.listen(this.#path, () => {
      this.#handler.listening();
    });
  }

  /** Whether reading waits for `readOn`. */
  get waiting(): boolean {
    return this.#waiting;
  }

  readOn(): void {
    if (!this.#waiting) return;
    this.#waiting = false;
    this.#socket?.resume();
  }

  /** Sends bytes of the return path. */
  write(bytes: Buffer): void {
    this.#socket?.write(bytes);
  }

  /** Ends the return path. */
  end(): void {
    this.#socket?.end();
  }

  stopListening(): void {
    this.#server.close();
  }

  /** Breaks off: QEMU takes the migration for failed. */
  destroy(): void {
    this.#socket?.destroy();
  }

  #accept(accepted: Socket): void {
    if (this.#socket !== undefined) {
      accepted.destroy();
      return;
    }
    const socket = adopt(accepted, new ReadBuffer(readBytes), (chunk) => {
      this.#waiting = !this.#handler.chunk(chunk);
      return !this.#waiting;
    });
    this.#socket = socket;
    this.#server.close();
    const closed = (reason: string, cause?: Error): void => {
      if (this.#closed) return;
      this.#closed = true;
      this.#handler.closed(new SourceError('qemu-closed', reason, cause));
    };
    socket.on('end', () => {
      closed('QEMU has ended its migration: it was cancelled, or failed, or QEMU ended');
    });
    socket.on('error', (cause) => {
      closed(`the connection to QEMU broke: ${cause.message}`, cause);
    });
    this.#handler.connected();
    socket.resume();
  }
}
