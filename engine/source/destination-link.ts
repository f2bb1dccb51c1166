/**
 * The connection to the destination engine: the greeting, frames in the order of the stream, and how much may be under way
 * at a time.
 */
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import { EngineConnection } from '../wire/connection.ts';
import type { SocketOpener } from '../wire/fast-socket.ts';
import type { FrameType } from '../wire/frame.ts';
import { defaultLiveness, ownHello, takeHello } from '../wire/hello.ts';
import { encodeMessage } from '../wire/messages.ts';
import { connectToPeer, explainBreak, protectionOf } from '../wire/peer-security.ts';
import { SendWindow } from '../wire/send-window.ts';
import type { SourceOptions } from './source-options.ts';

const compressionLevel = 1;
/** Large enough to compress well (a fifth less CPU time than 64 KiB), small enough to be compressed, sent and taken at the same time. */
const batchBytes = 128 * 1024;
/** Buffers kept for reuse; more are under way only while compressors lag. */
const maxFree = 32;

/** What both engines can. */
export type Compression = 'none' | 'zstd';

export interface DestinationLinkHandler {
  /** Whether more would be sent if there were room. */
  readonly wantsRoom: boolean;
  greeted(compression: Compression): void;
  /** A frame after the greeting; the payload is valid only during the call. */
  frame(type: FrameType, payload: Buffer): void;
  /** There is more room. */
  scheduleAdvance(): void;
  /** The connection has ended, whoever ended it. */
  fail(error: Error): void;
}

/** Collects what goes to the destination into frames: small pieces are copied together, which compresses and sends better. */
class StreamBatch {
  readonly #connection: EngineConnection;
  readonly #free: Buffer[] = [];
  #buffer: Buffer | undefined;
  #filledBytes = 0;

  constructor(connection: EngineConnection) {
    this.#connection = connection;
  }

  /** Bytes that wait for `flush`. */
  get waitingBytes(): number {
    return this.#filledBytes;
  }

  add(source: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) {
      const buffer = (this.#buffer ??= this.#free.pop() ?? Buffer.allocUnsafeSlow(batchBytes));
      const copied = source.copy(buffer, this.#filledBytes, at, end);
      at += copied;
      this.#filledBytes += copied;
      if (this.#filledBytes === batchBytes) this.flush();
    }
  }

  /** Sends what waits. */
  flush(): void {
    const buffer = this.#buffer;
    if (buffer === undefined || this.#filledBytes === 0) return;
    const payload = buffer.subarray(0, this.#filledBytes);
    this.#buffer = undefined;
    this.#filledBytes = 0;
    this.#connection.send('stream', payload, true, () => {
      if (this.#free.length < maxFree) this.#free.push(buffer);
    });
  }
}

export class DestinationLink {
  readonly connection: EngineConnection;
  /** What goes into QEMU's stream, until it is flushed. */
  readonly batch: StreamBatch;
  readonly #window: SendWindow;
  #compressesScarceLink = false;

  /** @param switchoverBarred whether QEMU cannot switch over yet, until `allowSwitchover` */
  constructor(
    options: Pick<SourceOptions, 'destination' | 'security' | 'vm' | 'compression' | 'liveness' | 'onEvent'>,
    switchoverBarred: boolean,
    handler: DestinationLinkHandler,
  ) {
    const { destination, security, vm, liveness = defaultLiveness } = options;
    if (security.by === 'nothing') options.onEvent({ event: 'insecure-plaintext' });
    const own = ownHello('source', vm, liveness);
    let phase: 'connecting' | 'greeting' | 'greeted' = 'connecting';
    const window = new SendWindow(switchoverBarred);
    const open: SocketOpener = (onChunk, buffer) =>
      connectToPeer(security, destination, buffer, onChunk, () => {
        phase = 'greeting';
        connection.send('hello', encodeMessage(own));
      });
    const connection = new EngineConnection(open, {
      ...liveness,
      protection: protectionOf(security),
      explain: (cause) => explainBreak(cause, security),
      onFrame: (type, payload) => {
        switch (phase) {
          case 'greeted':
            handler.frame(type, payload);
            return;
          case 'connecting':
            throw new CodedError('wire', 'not-authenticated', 'the destination speaks before it is known');
          case 'greeting': {
            const other = takeHello(own, vm, payload, liveness.timeoutMs);
            const readsZstd = other.compression.includes('zstd');
            const compression = options.compression !== 'none' && readsZstd ? 'zstd' : 'none';
            this.#compressesScarceLink = compression === 'zstd' && options.compression === 'auto';
            if (compression === 'zstd' && options.compression === 'zstd')
              connection.setCompression(compressionLevel);
            phase = 'greeted';
            connection.greeted();
            handler.greeted(compression);
          }
        }
      },
      runsDry: (unacknowledgedBytes) => window.runsDry(unacknowledgedBytes),
      onRoom: () => {
        const { acknowledgedBytes, outstandingBytes } = connection;
        window.acknowledged(acknowledgedBytes, performance.now(), outstandingBytes, handler.wantsRoom);
        handler.scheduleAdvance();
      },
      onClosed: (error) => {
        const reason = error ?? new CodedError('wire', 'closed', 'the destination ended the connection');
        handler.fail(phase === 'greeted' ? reason : withoutGreeting(reason));
      },
    });
    this.connection = connection;
    this.batch = new StreamBatch(connection);
    this.#window = window;
  }

  /** Share of the send window that is free; below 0 there is too much under way. */
  get room(): number {
    const waitingBytes = this.batch.waitingBytes / this.connection.compressionRatio;
    return 1 - (this.connection.outstandingBytes + waitingBytes) / this.#window.limitBytes;
  }

  /** Rate at which the destination takes data; 0 at first. */
  get rateBytesPerSecond(): number {
    return this.#window.rateBytesPerSecond;
  }

  /** Whether the link is what is scarce has been found out. */
  isScarce(scarce: boolean): void {
    if (this.#compressesScarceLink) this.connection.setCompression(scarce ? compressionLevel : undefined);
  }

  /** From now on little may be under way. */
  allowSwitchover(): void {
    this.#window.allowSwitchover();
  }

  /** From now on the VM may wait for what is sent: it is stopped to move, or lacks pages at the target. */
  expectWaiting(): void {
    this.#window.expectWaiting();
  }

  /** Sends a frame that keeps its place behind what was added to the stream before. */
  sendInOrder(type: FrameType, payload: Buffer = Buffer.alloc(0), compressible = false): void {
    this.batch.flush();
    this.connection.send(type, payload, compressible);
  }
}

/** A destination that takes this engine for a stranger tells it nothing; one that was not reached has not heard of it. */
function withoutGreeting(error: Error): Error {
  if (!isCoded(error, 'wire') || error.code !== 'closed') return error;
  const { syscall } = (error.cause ?? {}) as NodeJS.ErrnoException;
  const hint =
    syscall === 'connect' || syscall === 'getaddrinfo'
      ? '; start the destination engine first, and see that its address and port are right, and that no firewall is between'
      : ', before it greeted; if it has another key or certificate, or only one engine has one, it says so there';
  return new CodedError('wire', 'closed', `${error.message}${hint}`, { cause: error });
}
