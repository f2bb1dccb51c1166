/**
 * One end of the connection between the engines: frames in order, compressed on the way where that helps, counted so that
 * the sender knows how much is under way, with heartbeats, and with a reason when it ends early.
 */
import type { Socket } from 'node:net';
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import { ReadBuffer, type SocketOpener } from './fast-socket.ts';
import { type FrameProtection, FrameReader, type FrameType, frameHeader } from './frame.ts';
import { type Abort, decodeMessage, encodeMessage, messageSchemas } from './messages.ts';
import { SendQueue } from './send-queue.ts';

interface ConnectionOptions {
  readonly protection: FrameProtection;
  readonly heartbeatMs: number;
  /** Give up when nothing was heard for so long. */
  readonly timeoutMs: number;
  /** Give up when `greeted` was not called within it. Default `timeoutMs`. */
  readonly greetingMs?: number;
  /** Called for each frame but heartbeats, acknowledgements and aborts; the payload is valid only during the call. */
  readonly onFrame: (type: FrameType, payload: Buffer) => void;
  /** Called after the frames that a chunk completes. */
  readonly onBatch?: () => void;
  /** More may be sent: something was acknowledged, or left this process. */
  readonly onRoom?: () => void;
  /**
   * Whether the link is about to have nothing to carry, with so many bytes sent and not acknowledged. Frames that wait for
   * a compressor then go as they are; without it they always wait.
   */
  readonly runsDry?: (unacknowledgedBytes: number) => boolean;
  /** At the destination: whether the target will never run if this engine gives up now. */
  readonly targetNeverRuns?: () => boolean;
  /** What it means that the connection broke, where more is known than the system says. */
  readonly explain?: (cause: Error) => CodedError<'wire'> | undefined;
  /**
   * Called once, when the connection has ended: with its error, or without one after `end()`. `vouched`: this end has told the
   * other one that the target will never run, so that it must not.
   */
  readonly onClosed: (error: Error | undefined, vouched: boolean) => void;
}

/** What is good to read at once, from an engine that has greeted; nobody else gets so much memory. */
const readBytes = 256 * 1024;
const greetingReadBytes = 4096;
const beforeGreeting: readonly FrameType[] = ['hello', 'abort'];
/**
 * A stream that comes in pieces between these sizes comes more slowly than it is read. It is given this time to gather: each
 * piece costs both engines system calls and an acknowledgement, which add up to a third of a processor on a link of 125
 * Mbit/s. Shorter pieces are messages, and read at once.
 */
const gathering = { aboveBytes: 1024, belowBytes: 64 * 1024, ms: 2 };
/**
 * What the other engine has not read: far more than windows let wait. An engine that says to be alive and never reads what it is told is
 * given up.
 */
const maxUnreadBytes = 64 * 1024 * 1024;
/** An abort must reach the other engine, but a dead connection must not keep this one alive. */
const abortFlushMs = 500;
/** So must the last word of a migration that is over, which may be behind much else. */
const endFlushMs = 2000;

export class EngineConnection {
  /** Bytes written, headers included. */
  sentBytes = 0;
  readonly #socket: Socket;
  readonly #options: ConnectionOptions;
  readonly #reader: FrameReader;
  readonly #buffer = new ReadBuffer(greetingReadBytes);
  readonly #queue: SendQueue;
  #acknowledgedBytes = 0;
  #heartbeat: NodeJS.Timeout | undefined;
  #sentSinceHeartbeat = false;
  #heardAtMs = performance.now();
  #readingPaused = false;
  #greeted = false;
  readonly #greetingLimit: NodeJS.Timeout;
  /** Bytes that were read since the last batch ended, and of the frames up to there. */
  #batchBytes = 0;
  #batchedWireBytes = 0;
  #batchEnd: NodeJS.Immediate | undefined;
  #closed = false;
  #ending = false;

  constructor(open: SocketOpener, options: ConnectionOptions) {
    const { protection, timeoutMs, greetingMs = timeoutMs } = options;
    this.#options = options;
    this.#queue = new SendQueue(protection, () => {
      if (!this.#closed) this.#pump();
    });
    this.#reader = new FrameReader(
      protection,
      (type, payload) => {
        this.#take(type, payload);
      },
      (type) => this.#greeted || beforeGreeting.includes(type),
    );
    const socket = open((chunk) => this.#read(chunk), this.#buffer);
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('drain', () => options.onRoom?.());
    socket.on('error', (cause) => {
      const broke = `the connection to the other engine broke: ${cause.message}`;
      this.#close(options.explain?.(cause) ?? new CodedError('wire', 'closed', broke, { cause }));
    });
    socket.on('close', () => {
      this.#close(
        this.#ending ? undefined : new CodedError('wire', 'closed', 'the other engine closed the connection'),
      );
    });
    this.#greetingLimit = setTimeout(() => {
      this.abort(new CodedError('wire', 'timeout', `no greeting within ${timeoutMs} ms`));
    }, greetingMs);
  }

  /** The other engine is the right one: frames of any kind may come, and it is to be heard from again and again. */
  greeted(): void {
    if (this.#closed || this.#greeted) return;
    this.#greeted = true;
    clearTimeout(this.#greetingLimit);
    this.#buffer.resize(readBytes);
    this.#heardAtMs = performance.now();
    this.#heartbeat = setInterval(() => {
      this.#beat();
    }, this.#options.heartbeatMs);
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Bytes of all frames taken in so far. */
  get receivedBytes(): number {
    return this.#reader.wireBytes;
  }

  /** Payload of all frames before compression. */
  get rawBytes(): number {
    return this.#queue.rawBytes;
  }

  /** What compression has saved recently: bytes before it per byte after it. */
  get compressionRatio(): number {
    return this.#queue.compressionRatio;
  }

  /** Bytes that the other engine has acknowledged to have taken and delivered. */
  get acknowledgedBytes(): number {
    return this.#acknowledgedBytes;
  }

  /** Estimate of the bytes that are under way: sent but not acknowledged, or waiting to be sent. */
  get outstandingBytes(): number {
    return this.sentBytes - this.#acknowledgedBytes + this.#queue.estimatedBytes;
  }

  /** Compresses frames sent with `compressible` from now on, or no more. @param level undefined: none */
  setCompression(level: number | undefined): void {
    this.#queue.setCompression(level);
    this.#pump();
  }

  /**
   * Sends a frame. Frames arrive in the order of the calls, whether compressed or not.
   *
   * @param payload must not change until `onSent` was called
   */
  send(type: FrameType, payload: Buffer, compressible = false, onSent?: () => void): void {
    if (this.#closed || this.#ending) return;
    if (this.#socket.writableLength > maxUnreadBytes) {
      this.#close(new CodedError('wire', 'timeout', 'the other engine does not read what it is told'));
      return;
    }
    this.#queue.add(type, payload, compressible, onSent);
    this.#pump();
  }

  /** Tells the sender that all frames up to `wireBytes` were taken and delivered. */
  acknowledge(wireBytes: number): void {
    const payload = Buffer.alloc(8);
    payload.writeBigUInt64BE(BigInt(wireBytes));
    this.send('acknowledge', payload);
  }

  pauseReading(): void {
    this.#readingPaused = true;
    this.#socket.pause();
  }

  resumeReading(): void {
    // What was heard before the pause says nothing about the time of the pause.
    this.#heardAtMs = performance.now();
    this.#readingPaused = false;
    this.#socket.resume();
  }

  /** Ends the connection after all that was sent; `onClosed` gets no error. */
  end(): void {
    if (this.#closed) return;
    this.#ending = true;
    this.#pump();
    // A link that carries nothing any more must not keep this process alive.
    setTimeout(() => this.#socket.destroy(), endFlushMs).unref();
  }

  /** Tells the other engine why, and ends the connection at once. `onClosed` is called with `error`. */
  abort(error: Error & { readonly code?: string }): void {
    if (this.#closed) return;
    const targetNeverRuns = this.#options.targetNeverRuns?.() === true;
    const abort: Abort = {
      code: error.code ?? 'failed',
      message: error.message.slice(0, 1000),
      targetNeverRuns,
    };
    const payload = encodeMessage(abort);
    this.#queue.clear();
    this.#socket.write(frameHeader('abort', payload, undefined, this.#options.protection));
    this.#socket.end(payload);
    setTimeout(() => this.#socket.destroy(), abortFlushMs).unref();
    this.#close(error, { destroy: false, vouched: targetNeverRuns });
    this.#socket.resume();
  }

  /** Returns whether to read on at once. */
  #read(chunk: Buffer): boolean {
    this.#heardAtMs = performance.now();
    this.#guard(() => {
      this.#reader.push(chunk);
    });
    this.#batchBytes += chunk.length;
    if (this.#options.protection !== 'tls') return this.#endBatch();
    // What is read at once comes as many records of TLS. Acknowledging each would cost more than deciphering it.
    this.#batchEnd ??= setImmediate(() => {
      this.#batchEnd = undefined;
      if (!this.#endBatch()) this.#socket.pause();
    });
    return this.#closed || !this.#readingPaused;
  }

  /** Returns whether to read on at once. */
  #endBatch(): boolean {
    const bytes = this.#batchBytes;
    this.#batchBytes = 0;
    this.#guard(() => {
      if (this.#reader.wireBytes === this.#batchedWireBytes) return;
      this.#batchedWireBytes = this.#reader.wireBytes;
      this.#options.onBatch?.();
    });
    // What still comes after the end is dropped: left in the kernel, it would break the connection before the other engine
    // has read why.
    if (this.#closed) return true;
    if (this.#readingPaused) return false;
    if (bytes <= gathering.aboveBytes || bytes >= gathering.belowBytes) return true;
    setTimeout(() => {
      if (this.#closed || !this.#readingPaused) this.#socket.resume();
    }, gathering.ms);
    return false;
  }

  #take(type: FrameType, payload: Buffer): void {
    switch (type) {
      case 'heartbeat':
        return;
      case 'acknowledge':
        if (payload.length !== 8)
          throw new CodedError('wire', 'malformed', 'an acknowledgement of another length');
        this.#acknowledgedBytes = Math.min(Number(payload.readBigUInt64BE()), this.sentBytes);
        this.#pump();
        this.#options.onRoom?.();
        return;
      case 'abort': {
        const { code, message, targetNeverRuns } = decodeMessage(messageSchemas.abort, payload);
        const reason = `the other engine gave up: ${message}`;
        throw new CodedError('wire', 'peer-aborted', reason, { peerCode: code, targetNeverRuns });
      }
      default:
        this.#options.onFrame(type, payload);
    }
  }

  /** An error of this end, whoever raised it, is told to the other one; its own abort is not sent back. */
  #guard(body: () => void): void {
    if (this.#closed) return;
    try {
      body();
    } catch (cause) {
      const error = cause instanceof Error ? cause : new Error(String(cause));
      if (isCoded(error, 'wire') && error.code === 'peer-aborted') this.#close(error);
      else this.abort(error);
    }
  }

  #pump(): void {
    this.#queue.compress();
    // A link that is faster than the compressors does not wait for them: it gets a frame as it is beside theirs.
    if (this.#options.runsDry?.(this.sentBytes - this.#acknowledgedBytes) === true) {
      this.#queue.giveUpCompressingOne();
    }
    for (let first = this.#queue.take(); first !== undefined; first = this.#queue.take()) {
      const { bytes, onSent } = first;
      this.#sentSinceHeartbeat = true;
      this.#socket.cork();
      bytes.forEach((part, index) => {
        this.sentBytes += part.length;
        this.#socket.write(part, index === 1 && onSent !== undefined ? onSent : undefined);
      });
      this.#socket.uncork();
    }
    if (this.#ending && this.#queue.isEmpty) this.#socket.end();
  }

  #beat(): void {
    if (!this.#sentSinceHeartbeat) this.send('heartbeat', Buffer.alloc(0));
    this.#sentSinceHeartbeat = false;
    const silentMs = performance.now() - this.#heardAtMs;
    if (!this.#readingPaused && silentMs > this.#options.timeoutMs) {
      this.abort(
        new CodedError(
          'wire',
          'timeout',
          `nothing was heard from the other engine for ${Math.round(silentMs)} ms`,
        ),
      );
    }
  }

  #close(error: Error | undefined, { destroy, vouched } = { destroy: true, vouched: false }): void {
    if (this.#batchEnd !== undefined) {
      clearImmediate(this.#batchEnd);
      this.#batchEnd = undefined;
      this.#endBatch();
    }
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#heartbeat);
    clearTimeout(this.#greetingLimit);
    this.#queue.clear();
    if (destroy) this.#socket.destroy();
    this.#options.onClosed(error, vouched);
  }
}
