/**
 * One end of the connection between the engines: frames in order, compressed on the way where that helps, counted so that
 * the sender knows how much is under way, with heartbeats, and with a reason when it ends early.
 */
import type { Socket } from 'node:net';
import { constants, zstdCompress } from 'node:zlib';
import type { SocketOpener } from './fast-socket.ts';
import { type FrameType, FrameReader, frameHeader } from './frame.ts';
import { type Abort, decodeMessage, encodeMessage, messageSchemas } from './messages.ts';
import { WireError } from './wire-error.ts';

export interface ConnectionOptions {
  readonly heartbeatMs: number;
  /** Give up when nothing was heard for so long. */
  readonly timeoutMs: number;
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
  /** Called once, when the connection has ended: with its error, or without one after `end()`. */
  readonly onClosed: (error: Error | undefined) => void;
}

/** A frame that waits for its turn. */
interface Waiting {
  readonly type: FrameType;
  readonly payload: Buffer;
  readonly onSent: (() => void) | undefined;
  /** Header and payload as they go over the link; undefined until it is known whether and how it is compressed. */
  bytes: readonly Buffer[] | undefined;
}

/** Shorter payloads are sent plain: they are not worth a task of the thread pool. */
const leastCompressedBytes = 1024;
/** Frames that are with the thread pool, so that its threads have a next one without waiting for this one. */
const mostCompressions = 16;
const recentDecay = 0.9;
/** What is good to read at once. */
export const readBytes = 256 * 1024;
/**
 * A stream that comes in pieces between these sizes comes more slowly than it is read. It is given this time to gather: each
 * piece costs both engines system calls and an acknowledgement, which add up to a third of a processor on a link of 125
 * Mbit/s. Shorter pieces are messages, and read at once.
 */
const gathering = { aboveBytes: 1024, belowBytes: 64 * 1024, ms: 2 };
/** An abort must reach the other engine, but a dead connection must not keep this one alive. */
const abortFlushMs = 500;

export class EngineConnection {
  /** Bytes written, headers included. */
  sentBytes = 0;
  /** Payload of all frames before compression. */
  rawBytes = 0;
  readonly #socket: Socket;
  readonly #options: ConnectionOptions;
  readonly #reader: FrameReader;
  /** All frames that were not sent, in order. */
  readonly #queue: Waiting[] = [];
  /** Those of them that wait for a compressor. */
  readonly #toCompress: Waiting[] = [];
  #queuedBytes = 0;
  #compressions = 0;
  /** Decaying sums over the frames that could be compressed. */
  #recentRawBytes = 1;
  #recentBytes = 1;
  #compressionLevel: number | undefined;
  #acknowledgedBytes = 0;
  #heartbeat: NodeJS.Timeout | undefined;
  #sentSinceHeartbeat = false;
  #heardAtMs = performance.now();
  #readingPaused = false;
  #closed = false;
  #ending = false;

  constructor(open: SocketOpener, options: ConnectionOptions) {
    const socket = open((chunk) => this.#read(chunk));
    this.#socket = socket;
    this.#options = options;
    this.#reader = new FrameReader((type, payload) => {
      this.#take(type, payload);
    });
    socket.setNoDelay(true);
    socket.on('drain', () => options.onRoom?.());
    socket.on('error', (cause) => {
      this.#close(
        new WireError('closed', `the connection to the other engine broke: ${cause.message}`, cause),
      );
    });
    socket.on('close', () => {
      this.#close(
        this.#ending ? undefined : new WireError('closed', 'the other engine closed the connection'),
      );
    });
    this.#heartbeat = setInterval(() => {
      this.#beat();
    }, options.heartbeatMs);
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Bytes of all frames taken in so far. */
  get receivedBytes(): number {
    return this.#reader.wireBytes;
  }

  /** What compression has saved of late: bytes before it per byte after it. */
  get compressionRatio(): number {
    return this.#recentRawBytes / this.#recentBytes;
  }

  /** Bytes that the other engine has acknowledged to have taken and delivered. */
  get acknowledgedBytes(): number {
    return this.#acknowledgedBytes;
  }

  /** Estimate of the bytes that are under way: sent but not acknowledged, or waiting to be sent. */
  get outstandingBytes(): number {
    return this.sentBytes - this.#acknowledgedBytes + this.#queuedBytes / this.compressionRatio;
  }

  /** Compresses frames sent with `compressible` from now on. */
  enableCompression(level: number): void {
    this.#compressionLevel = level;
  }

  /**
   * Sends a frame. Frames arrive in the order of the calls, whether compressed or not.
   *
   * @param payload must not change until `onSent` was called
   */
  send(type: FrameType, payload: Buffer, compressible = false, onSent?: () => void): void {
    if (this.#closed || this.#ending) return;
    this.rawBytes += payload.length;
    const waiting: Waiting = { type, payload, onSent, bytes: undefined };
    this.#queue.push(waiting);
    this.#queuedBytes += payload.length;
    const compress =
      compressible && this.#compressionLevel !== undefined && payload.length >= leastCompressedBytes;
    if (compress) this.#toCompress.push(waiting);
    else waiting.bytes = plain(waiting);
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
  }

  /** Tells the other engine why, and ends the connection at once. `onClosed` is called with `error`. */
  abort(error: Error & { readonly code?: string }): void {
    if (this.#closed) return;
    const abort: Abort = { code: error.code ?? 'failed', message: error.message.slice(0, 1000) };
    const payload = encodeMessage(abort);
    this.#queue.length = 0;
    this.#socket.write(frameHeader('abort', payload.length, payload.length, false));
    this.#socket.end(payload);
    setTimeout(() => this.#socket.destroy(), abortFlushMs).unref();
    this.#close(error, false);
    this.#socket.resume();
  }

  /** Returns whether to read on at once. */
  #read(chunk: Buffer): boolean {
    this.#heardAtMs = performance.now();
    this.#guard(() => {
      const earlierBytes = this.#reader.wireBytes;
      this.#reader.push(chunk);
      if (this.#reader.wireBytes > earlierBytes) this.#options.onBatch?.();
    });
    // What still comes after the end is dropped: left in the kernel, it would break the connection before the other engine
    // has read why.
    if (this.#closed) return true;
    if (this.#readingPaused) return false;
    if (chunk.length <= gathering.aboveBytes || chunk.length >= gathering.belowBytes) return true;
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
        if (payload.length !== 8) throw new WireError('malformed', 'an acknowledgement of another length');
        this.#acknowledgedBytes = Math.min(Number(payload.readBigUInt64BE()), this.sentBytes);
        this.#pump();
        this.#options.onRoom?.();
        return;
      case 'abort': {
        const { code, message } = decodeMessage(messageSchemas.abort, payload);
        throw new WireError('peer-aborted', `the other engine gave up: ${message}`, undefined, code);
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
      if (error instanceof WireError && error.code === 'peer-aborted') this.#close(error);
      else this.abort(error);
    }
  }

  #pump(): void {
    const level = this.#compressionLevel;
    while (level !== undefined && this.#compressions < mostCompressions) {
      const next = this.#toCompress.shift();
      if (next === undefined) break;
      this.#compress(next, level);
    }
    // A link that is faster than the compressors does not wait for them: it gets a frame as it is beside theirs.
    if (this.#options.runsDry?.(this.sentBytes - this.#acknowledgedBytes) === true) {
      const next = this.#toCompress.shift();
      if (next !== undefined) next.bytes = plain(next);
    }
    for (let first = this.#queue[0]; first?.bytes !== undefined; first = this.#queue[0]) {
      this.#queue.shift();
      this.#queuedBytes -= first.payload.length;
      this.#sentSinceHeartbeat = true;
      this.#socket.cork();
      const { onSent } = first;
      first.bytes.forEach((part, index) => {
        this.sentBytes += part.length;
        this.#socket.write(part, index === 1 && onSent !== undefined ? onSent : undefined);
      });
      this.#socket.uncork();
    }
    if (this.#ending && this.#queue.length === 0) this.#socket.end();
  }

  #compress(waiting: Waiting, level: number): void {
    const { type, payload } = waiting;
    this.#compressions += 1;
    // Knowing the size, zstd takes small tables; with room for all that it makes, it is one task of the pool.
    const options = {
      params: { [constants.ZSTD_c_compressionLevel]: level },
      pledgedSrcSize: payload.length,
      chunkSize: payload.length + 1024,
    };
    zstdCompress(payload, options, (error, compressed) => {
      this.#compressions -= 1;
      if (this.#closed) return;
      // Compression that does not help, or fails for want of memory, is no reason to stop.
      const helps = error === null && compressed.length < payload.length;
      const bytes = helps ? compressed : payload;
      this.#recentRawBytes = this.#recentRawBytes * recentDecay + payload.length;
      this.#recentBytes = this.#recentBytes * recentDecay + bytes.length;
      waiting.bytes = helps ? [frameHeader(type, bytes.length, payload.length, true), bytes] : plain(waiting);
      this.#pump();
    });
  }

  #beat(): void {
    if (!this.#sentSinceHeartbeat) this.send('heartbeat', Buffer.alloc(0));
    this.#sentSinceHeartbeat = false;
    const silentMs = performance.now() - this.#heardAtMs;
    if (!this.#readingPaused && silentMs > this.#options.timeoutMs) {
      this.abort(
        new WireError('timeout', `nothing was heard from the other engine for ${Math.round(silentMs)} ms`),
      );
    }
  }

  #close(error: Error | undefined, destroy = true): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#heartbeat);
    this.#queue.length = 0;
    this.#toCompress.length = 0;
    if (destroy) this.#socket.destroy();
    this.#options.onClosed(error);
  }
}

/** A frame that is not compressed. */
function plain({ type, payload }: Waiting): readonly Buffer[] {
  return [frameHeader(type, payload.length, payload.length, false), payload];
}
