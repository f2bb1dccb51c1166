/**
 * The source QEMU's connection: it migrates to a unix socket. The first connection on which something is sent is the one
 * that is served, so that whoever only looks whether somebody listens does no harm. In early resume QEMU may open another later,
 * on which it need not send anything.
 */
import type { Server, Socket } from 'node:net';
import { CodedError } from '../../foundation/coded-error.ts';
import { multifdMagic } from '../stream/records.ts';
import { adopt, createPausedServer, ReadBuffer } from '../wire/fast-socket.ts';
import { SocketFile } from './socket-file.ts';

const readBytes = 1024 * 1024;
/** While QEMU is held: a socket full of ends of parts, each of which cost it a look at its dirty log, is left in it. */
const littleBytes = 32 * 1024;
/** Connections on which nothing was sent are let go after a while, and there may be no more than a few. */
const silentLimitMs = 10_000;
const silentLimit = 8;
/**
 * Of the return path, that QEMU has not taken. A VM waits for a page for each of its processors, and for some more in its kernel:
 * requests of a thousand processors are a tenth of it.
 */
const maxWaitingBytes = 4 * 1024 * 1024;
/** What is read of a further connection. */
const magicBytes = 4;

interface QemuHandler {
  listening(): void;
  connected(): void;
  /** Takes a chunk, valid only during the call; returns whether to read on, or to wait for `readOn`. */
  chunk(chunk: Buffer): boolean;
  /** QEMU has closed its end, or the connection broke; nothing comes any more. */
  closed(error: CodedError<'source'>): void;
  /**
   * There is another connection beside the one that is served. Returns what takes its bytes, which are valid only during the
   * call; undefined where there may be none.
   */
  further(): ((chunk: Buffer) => void) | undefined;
  /** It cannot listen. */
  failed(error: CodedError<'source'>): void;
}

export class QemuConnection {
  readonly #path: string;
  readonly #handler: QemuHandler;
  readonly #server: Server;
  readonly #silent = new Set<Socket>();
  readonly #further = new Set<Socket>();
  #file: SocketFile | undefined;
  #stopped = false;
  #socket: Socket | undefined;
  #buffer: ReadBuffer | undefined;
  #readsLittle = false;
  #waiting = false;
  #closed = false;

  constructor(path: string, handler: QemuHandler) {
    this.#path = path;
    this.#handler = handler;
    this.#server = createPausedServer(true, (accepted) => {
      this.#accept(accepted);
    });
  }

  listen(): void {
    SocketFile.listen(this.#server, this.#path).then(
      (file) => {
        this.#file = file;
        // Later than that, an error is of a single accept().
        this.#server.on('error', (cause) => {
          this.#handler.failed(
            new CodedError('source', 'qemu-closed', `cannot listen on ${this.#path}: ${cause.message}`, {
              cause,
            }),
          );
        });
        if (this.#stopped) this.stopListening();
        else this.#handler.listening();
      },
      (error: unknown) => {
        this.#handler.failed(error as CodedError<'source'>);
      },
    );
  }

  get isListening(): boolean {
    return this.#file !== undefined;
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

  /** Whether little is to be read at once, from the next but one read on. */
  readsLittle(little: boolean): void {
    if (little === this.#readsLittle) return;
    this.#readsLittle = little;
    this.#buffer?.resize(little ? littleBytes : readBytes);
  }

  /**
   * Sends bytes of the return path.
   *
   * @throws CodedError 'source', 'return-path' where QEMU takes so little of it that the target cannot be right
   */
  write(bytes: Buffer): void {
    if ((this.#socket?.writableLength ?? 0) > maxWaitingBytes) {
      const reason = `the target sends more on the return path than QEMU takes: ${maxWaitingBytes} bytes wait`;
      throw new CodedError('source', 'return-path', reason);
    }
    this.#socket?.write(bytes);
  }

  /** Sends the last bytes of the return path. */
  end(bytes: Buffer): void {
    this.#socket?.end(bytes);
  }

  stopListening(): void {
    this.#stopped = true;
    this.#file?.remove();
    this.#file = undefined;
    this.#server.close();
    for (const socket of this.#silent) socket.destroy();
  }

  /** Breaks off: QEMU takes the migration for failed. */
  destroy(): void {
    this.#socket?.destroy();
    for (const socket of this.#further) socket.destroy();
  }

  #accept(accepted: Socket): void {
    if (this.#silent.size + this.#further.size >= silentLimit) {
      accepted.destroy();
      return;
    }
    const further = this.#socket === undefined ? undefined : this.#handler.further();
    if (further !== undefined) {
      this.#acceptFurther(accepted, further);
      return;
    }
    const buffer = new ReadBuffer(this.#socket === undefined ? readBytes : magicBytes);
    const socket = adopt(accepted, buffer, (chunk) => {
      if (this.#silent.delete(socket)) this.#speaks(socket, chunk, buffer);
      if (socket !== this.#socket) return false;
      this.#waiting = !this.#handler.chunk(chunk);
      return !this.#waiting;
    });
    this.#silent.add(socket);
    const tooSilent = setTimeout(() => {
      if (this.#silent.has(socket)) socket.destroy();
    }, silentLimitMs);
    const closed = (reason: string, cause?: Error): void => {
      if (socket !== this.#socket || this.#closed) return;
      this.#closed = true;
      this.#handler.closed(new CodedError('source', 'qemu-closed', reason, { cause }));
    };
    socket.on('end', () => {
      if (socket !== this.#socket) socket.destroy();
      closed('QEMU has ended its migration: it was cancelled, or failed, or QEMU ended');
    });
    socket.on('error', (cause) => {
      closed(`the connection to QEMU broke: ${cause.message}`, cause);
    });
    socket.on('close', () => {
      clearTimeout(tooSilent);
      this.#silent.delete(socket);
    });
    socket.resume();
  }

  #acceptFurther(accepted: Socket, take: (chunk: Buffer) => void): void {
    const socket = adopt(accepted, new ReadBuffer(littleBytes), (chunk) => {
      if (isMultifd(chunk)) this.#refuseMultifd(socket);
      else take(chunk);
      return true;
    });
    this.#further.add(socket);
    socket.on('end', () => socket.destroy());
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#further.delete(socket);
    });
    socket.resume();
  }

  /** The first bytes of a connection. */
  #speaks(socket: Socket, chunk: Buffer, buffer: ReadBuffer): void {
    if (isMultifd(chunk)) {
      this.#refuseMultifd(socket);
      return;
    }
    if (this.#socket !== undefined) {
      socket.destroy();
      return;
    }
    this.#socket = socket;
    this.#buffer = buffer;
    this.#handler.connected();
  }

  #refuseMultifd(socket: Socket): void {
    socket.destroy();
    this.#handler.failed(
      new CodedError(
        'source',
        'multifd',
        'QEMU migrates with multifd, which cannot be filtered: switch it off with {"execute": ' +
          '"migrate-set-capabilities", "arguments": {"capabilities": [{"capability": "multifd", "state": false}]}} ' +
          '(libvirt: without --parallel)',
      ),
    );
  }
}

/** Each of multifd's connections begins so (migration/multifd.c, MultiFDInit_t). A record of a page does not, below 21 PiB. */
function isMultifd(chunk: Buffer): boolean {
  return chunk.length >= magicBytes && chunk.readUInt32BE(0) === multifdMagic;
}
