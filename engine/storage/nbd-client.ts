/**
 * A reading client of the NBD protocol over a unix socket: fixed newstyle negotiation with NBD_OPT_GO, simple replies,
 * any number of requests at once (the protocol is described in doc/proto.md of the NetworkBlockDevice project).
 */
import { connect, type Socket } from 'node:net';
import { CodedError } from '../../foundation/coded-error.ts';
import type { StorageReader } from './storage-reader.ts';

const serverMagic = 'NBDMAGICIHAVEOPT';
const optionMagic = Buffer.from('IHAVEOPT', 'latin1');
const optionReplyMagic = 0x0003e889045565a9n;
const requestMagic = 0x25609513;
const simpleReplyMagic = 0x67446698;
/** Client flags: fixed newstyle, and no padding after the negotiation. */
const clientFlags = 1 | 2;
const optionGo = 7;
const replyAck = 1;
const replyInfo = 3;
const replyErrorBit = 0x8000_0000;
const infoExport = 0;
const commandRead = 0;
const maxOptionReply = 64 * 1024;

interface Request {
  readonly into: Buffer;
  readonly resolve: () => void;
  readonly reject: (error: CodedError<'storage'>) => void;
}

type State =
  | { readonly in: 'greeting' }
  | { readonly in: 'option-reply' }
  | { readonly in: 'reply' }
  | { readonly in: 'data'; readonly request: Request; filledBytes: number }
  | { readonly in: 'ended'; readonly error: CodedError<'storage'> };

/**
 * Connects to an export.
 *
 * @param exportName '' is the server's default
 * @throws CodedError 'storage', 'cannot-open' or 'nbd'
 */
export async function connectNbd(socketPath: string, exportName: string): Promise<StorageReader> {
  const socket = connect(socketPath);
  const client = new NbdClient(socket, socketPath, exportName);
  await client.ready;
  return client;
}

class NbdClient implements StorageReader {
  /** Settles when the negotiation is over. */
  readonly ready: Promise<void>;
  readonly #socket: Socket;
  readonly #where: string;
  readonly #exportName: Buffer;
  readonly #requests = new Map<number, Request>();
  #sizeBytes = 0;
  #nextHandle = 1;
  #state: State = { in: 'greeting' };
  /** Bytes of a header that is not complete yet. */
  #cut: Buffer = Buffer.alloc(0);
  #settleReady: { resolve: () => void; reject: (error: CodedError<'storage'>) => void } | undefined;

  constructor(socket: Socket, socketPath: string, exportName: string) {
    this.#socket = socket;
    this.#where = `the NBD export "${exportName}" of ${socketPath}`;
    this.#exportName = Buffer.from(exportName, 'utf8');
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = { resolve, reject };
    });
    socket.on('data', (chunk: Buffer) => {
      this.#take(chunk);
    });
    socket.on('error', (cause) => {
      this.#fail(
        new CodedError('storage', 'cannot-open', `cannot reach ${this.#where}: ${cause.message}`, { cause }),
      );
    });
    socket.on('close', () => {
      this.#fail(new CodedError('storage', 'nbd', `${this.#where} closed its connection`));
    });
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  read(into: Buffer, offsetBytes: number): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#state.in === 'ended') {
        reject(this.#state.error);
        return;
      }
      const handle = this.#nextHandle++;
      this.#requests.set(handle, { into, resolve, reject });
      const request = Buffer.alloc(28);
      request.writeUInt32BE(requestMagic, 0);
      request.writeUInt16BE(commandRead, 6);
      request.writeBigUInt64BE(BigInt(handle), 8);
      request.writeBigUInt64BE(BigInt(offsetBytes), 16);
      request.writeUInt32BE(into.length, 24);
      this.#socket.write(request);
    });
  }

  close(): Promise<void> {
    this.#fail(new CodedError('storage', 'nbd', `${this.#where} was closed`));
    return Promise.resolve();
  }

  #take(chunk: Buffer): void {
    let at = 0;
    for (;;) {
      const state = this.#state;
      if (state.in === 'ended') return;
      if (state.in === 'data') {
        // Data goes where it belongs without another copy.
        const taken = chunk.copy(state.request.into, state.filledBytes, at);
        at += taken;
        state.filledBytes += taken;
        if (state.filledBytes < state.request.into.length) return;
        this.#state = { in: 'reply' };
        state.request.resolve();
        continue;
      }
      const bytes =
        this.#cut.length === 0 ? chunk.subarray(at) : Buffer.concat([this.#cut, chunk.subarray(at)]);
      const used = this.#header(state.in, bytes);
      if (used === 0) {
        this.#cut = Buffer.from(bytes);
        return;
      }
      at += used - this.#cut.length;
      this.#cut = Buffer.alloc(0);
    }
  }

  /** Reads one header from the start of `bytes`; returns its length, or 0 if it is not whole. */
  #header(state: 'greeting' | 'option-reply' | 'reply', bytes: Buffer): number {
    switch (state) {
      case 'greeting': {
        if (bytes.length < 18) return 0;
        if (bytes.toString('latin1', 0, 16) !== serverMagic || (bytes.readUInt16BE(16) & 1) === 0) {
          this.#fail(
            new CodedError(
              'storage',
              'nbd',
              `${this.#where} is no NBD server with fixed newstyle negotiation`,
            ),
          );
          return 18;
        }
        this.#socket.write(this.#goOption());
        this.#state = { in: 'option-reply' };
        return 18;
      }
      case 'option-reply': {
        if (bytes.length < 20) return 0;
        const length = bytes.readUInt32BE(16);
        if (bytes.readBigUInt64BE(0) !== optionReplyMagic || length > maxOptionReply) {
          this.#fail(new CodedError('storage', 'nbd', `${this.#where}: invalid NBD reply`));
          return 20;
        }
        if (bytes.length < 20 + length) return 0;
        this.#optionReply(bytes.readUInt32BE(12), bytes.subarray(20, 20 + length));
        return 20 + length;
      }
      case 'reply': {
        if (bytes.length < 16) return 0;
        const handle = Number(bytes.readBigUInt64BE(8));
        const request = this.#requests.get(handle);
        if (bytes.readUInt32BE(0) !== simpleReplyMagic || request === undefined) {
          this.#fail(new CodedError('storage', 'nbd', `${this.#where}: invalid NBD reply`));
          return 16;
        }
        this.#requests.delete(handle);
        const error = bytes.readUInt32BE(4);
        if (error === 0) this.#state = { in: 'data', request, filledBytes: 0 };
        else
          request.reject(
            new CodedError('storage', 'read-failed', `${this.#where} cannot read: error ${error}`),
          );
        return 16;
      }
    }
  }

  #goOption(): Buffer {
    const name = this.#exportName;
    const option = Buffer.alloc(4 + 16 + 4 + name.length + 2);
    option.writeUInt32BE(clientFlags, 0);
    optionMagic.copy(option, 4);
    option.writeUInt32BE(optionGo, 12);
    option.writeUInt32BE(4 + name.length + 2, 16);
    option.writeUInt32BE(name.length, 20);
    name.copy(option, 24);
    return option;
  }

  #optionReply(type: number, data: Buffer): void {
    if (type >= replyErrorBit) {
      this.#fail(
        new CodedError('storage', 'cannot-open', `${this.#where} is refused: ${data.toString('utf8')}`),
      );
    } else if (type === replyInfo && data.length >= 12 && data.readUInt16BE(0) === infoExport) {
      this.#sizeBytes = Number(data.readBigUInt64BE(2));
    } else if (type === replyAck) {
      this.#state = { in: 'reply' };
      this.#settleReady?.resolve();
    }
  }

  #fail(error: CodedError<'storage'>): void {
    if (this.#state.in === 'ended') return;
    const reading = this.#state.in === 'data' ? this.#state.request : undefined;
    this.#state = { in: 'ended', error };
    this.#settleReady?.reject(error);
    // Avoids an unhandled rejection when nobody awaits `ready`.
    this.ready.catch(() => undefined);
    reading?.reject(error);
    for (const { reject } of this.#requests.values()) reject(error);
    this.#requests.clear();
    this.#socket.destroy();
  }
}
