/**
 * Frames that wait to be sent, in order, and compressed meanwhile by the thread pool. It knows nothing of the socket.
 */
import { constants, zstdCompress } from 'node:zlib';
import { type FrameProtection, type FrameType, frameHeader } from './frame.ts';

/** A frame that waits for its turn. */
interface Waiting {
  readonly type: FrameType;
  readonly payload: Buffer;
  readonly onSent: (() => void) | undefined;
  /** Header and payload as they go over the link; undefined until it is known whether and how it is compressed. */
  bytes: readonly Buffer[] | undefined;
}

/** A frame as it goes over the link. */
interface ReadyFrame {
  readonly bytes: readonly Buffer[];
  readonly onSent: (() => void) | undefined;
}

/** Shorter payloads are sent plain: they are not worth a task of the thread pool. */
const minCompressedBytes = 1024;
/** Frames that are with the thread pool, so that its threads have a next one without waiting for this one. */
const maxCompressions = 16;
const recentDecay = 0.9;

export class SendQueue {
  /** Payload of all frames ever added, before compression. */
  rawBytes = 0;
  readonly #protection: FrameProtection;
  readonly #onCompressed: () => void;
  /** All frames that were not taken, in order. */
  readonly #frames: Waiting[] = [];
  /** Those of them that wait for a compressor. */
  readonly #toCompress: Waiting[] = [];
  #waitingBytes = 0;
  #compressions = 0;
  /** Decaying sums over the frames that could be compressed. */
  #recentRawBytes = 1;
  #recentBytes = 1;
  #compressionLevel: number | undefined;

  /** @param onCompressed called when a compressor has done a frame, after `clear()` too for those it had taken before */
  constructor(protection: FrameProtection, onCompressed: () => void) {
    this.#protection = protection;
    this.#onCompressed = onCompressed;
  }

  get isEmpty(): boolean {
    return this.#frames.length === 0;
  }

  /** What compression has saved recently: bytes before it per byte after it. */
  get compressionRatio(): number {
    return this.#recentRawBytes / this.#recentBytes;
  }

  /** Estimate of the bytes that the waiting frames will be on the link. */
  get estimatedBytes(): number {
    return this.#waitingBytes / this.compressionRatio;
  }

  /** Compresses frames added with `compressible` from now on, or no more. @param level undefined: none */
  setCompression(level: number | undefined): void {
    this.#compressionLevel = level;
    if (level !== undefined) return;
    while (this.#toCompress.length > 0) this.giveUpCompressingOne();
    this.#recentRawBytes = 1;
    this.#recentBytes = 1;
  }

  /** @param payload must not change until `onSent` was called */
  add(type: FrameType, payload: Buffer, compressible: boolean, onSent: (() => void) | undefined): void {
    this.rawBytes += payload.length;
    const waiting: Waiting = { type, payload, onSent, bytes: undefined };
    this.#frames.push(waiting);
    this.#waitingBytes += payload.length;
    const compress =
      compressible && this.#compressionLevel !== undefined && payload.length >= minCompressedBytes;
    if (compress) this.#toCompress.push(waiting);
    else waiting.bytes = this.#plain(waiting);
  }

  /** Gives the thread pool as many frames as it should have. */
  compress(): void {
    const level = this.#compressionLevel;
    while (level !== undefined && this.#compressions < maxCompressions) {
      const next = this.#toCompress.shift();
      if (next === undefined) return;
      this.#compress(next, level);
    }
  }

  /** Lets the first frame that no compressor has taken yet go as it is. */
  giveUpCompressingOne(): void {
    const next = this.#toCompress.shift();
    if (next !== undefined) next.bytes = this.#plain(next);
  }

  /** Takes the first frame, where it is ready. */
  take(): ReadyFrame | undefined {
    const first = this.#frames[0];
    if (first?.bytes === undefined) return undefined;
    this.#frames.shift();
    this.#waitingBytes -= first.payload.length;
    return { bytes: first.bytes, onSent: first.onSent };
  }

  /** Drops all frames. */
  clear(): void {
    this.#frames.length = 0;
    this.#toCompress.length = 0;
    this.#waitingBytes = 0;
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
      // Compression that does not help, or fails for want of memory, is no reason to stop.
      const helps = error === null && compressed.length < payload.length;
      const bytes = helps ? compressed : payload;
      this.#recentRawBytes = this.#recentRawBytes * recentDecay + payload.length;
      this.#recentBytes = this.#recentBytes * recentDecay + bytes.length;
      waiting.bytes = helps
        ? [frameHeader(type, bytes, payload.length, this.#protection), bytes]
        : this.#plain(waiting);
      this.#onCompressed();
    });
  }

  #plain({ type, payload }: Waiting): readonly Buffer[] {
    return [frameHeader(type, payload, undefined, this.#protection), payload];
  }
}
