/**
 * Frames of the connection between the source engine and the destination engine. Integers are big-endian.
 *
 *     offset  size  field
 *          0     1  type
 *          1     1  encoding: 0 plain, 1 zstd
 *          2     2  0
 *          4     4  bytes of payload that follow
 *          8     4  bytes of payload once decompressed
 */
import { zstdDecompressSync } from 'node:zlib';
import { WireError } from './wire-error.ts';

/** Number and greatest payload, decompressed, of each kind of frame. */
export const frameTypes = {
  /** Both ways, first: JSON, `Hello`. */
  hello: { id: 1, maxBytes: 64 * 1024 },
  /** Source to destination: bytes of QEMU's stream, filtered. */
  stream: { id: 2, maxBytes: 1024 * 1024 },
  /** Source to destination: QEMU has written its whole stream; what is held of it may be delivered. */
  commit: { id: 3, maxBytes: 0 },
  /** Source to destination: JSON, `Sources`. */
  sources: { id: 5, maxBytes: 8 * 1024 * 1024 },
  /** Destination to source, answers `sources`: JSON, `Storage`. */
  storage: { id: 6, maxBytes: 8 * 1024 * 1024 },
  /** Source to destination: pages to restore (plan-codec.ts). */
  plan: { id: 7, maxBytes: 256 * 1024 },
  /** Destination to source: JSON, `RestoreStatus`. */
  status: { id: 8, maxBytes: 4096 },
  /** Destination to source: pages that storage does not give (plan-codec.ts). */
  ask: { id: 9, maxBytes: 256 * 1024 },
  /** Destination to source: u64, bytes of frames taken so far. */
  acknowledge: { id: 10, maxBytes: 8 },
  /** Destination to source: bytes of QEMU's return path. */
  returnPath: { id: 11, maxBytes: 64 * 1024 },
  /** Both ways, so that the other engine hears something. */
  heartbeat: { id: 13, maxBytes: 0 },
  /** Both ways, last: JSON, `Abort`. */
  abort: { id: 14, maxBytes: 4096 },
  /** Destination to source, answers `commit`: the target has everything, and has said so. */
  started: { id: 15, maxBytes: 0 },
} as const;

export type FrameType = keyof typeof frameTypes;

export const frameHeaderBytes = 12;
const encodingPlain = 0;
const encodingZstd = 1;

const typeById = new Map<number, FrameType>(
  (Object.keys(frameTypes) as FrameType[]).map((type) => [frameTypes[type].id, type]),
);

/** Greatest payload of any frame as it crosses the wire; compression is left out where it does not make it shorter. */
const longestPayloadBytes = Math.max(...Object.values(frameTypes).map(({ maxBytes }) => maxBytes));

/** Header of a frame; `compressed` if the payload that follows is zstd. */
export function frameHeader(
  type: FrameType,
  payloadBytes: number,
  rawBytes: number,
  compressed: boolean,
): Buffer {
  const header = Buffer.alloc(frameHeaderBytes);
  header.writeUInt8(frameTypes[type].id, 0);
  header.writeUInt8(compressed ? encodingZstd : encodingPlain, 1);
  header.writeUInt32BE(payloadBytes, 4);
  header.writeUInt32BE(rawBytes, 8);
  return header;
}

/** Receives a frame, synchronously; the payload is valid only during the call. */
export type FrameHandler = (type: FrameType, payload: Buffer) => void;

/** Incremental reader. Nothing is allocated by a length before that length was checked against its type. */
export class FrameReader {
  /** Bytes of all frames taken so far, headers included. */
  wireBytes = 0;
  readonly #onFrame: FrameHandler;
  readonly #header = Buffer.alloc(frameHeaderBytes);
  #headerBytes = 0;
  #type: FrameType = 'heartbeat';
  #payloadBytes = 0;
  /** Payload that is cut by the end of a chunk; grows to the longest payload seen. */
  #cut: Buffer = Buffer.alloc(0);
  #cutBytes = 0;

  constructor(onFrame: FrameHandler) {
    this.#onFrame = onFrame;
  }

  /**
   * Takes the next bytes, cut anywhere.
   *
   * @throws WireError 'malformed' or 'too-long'; the reader is of no use afterwards
   */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#headerBytes < frameHeaderBytes) {
        const taken = chunk.copy(this.#header, this.#headerBytes, at);
        at += taken;
        this.#headerBytes += taken;
        if (this.#headerBytes < frameHeaderBytes) return;
        this.#checkHeader();
      }
      const missing = this.#payloadBytes - this.#cutBytes;
      const available = Math.min(missing, chunk.length - at);
      if (this.#cutBytes === 0 && available === missing) {
        this.#complete(chunk.subarray(at, at + available));
      } else {
        if (this.#cut.length < this.#payloadBytes) this.#cut = this.#grown(this.#payloadBytes);
        chunk.copy(this.#cut, this.#cutBytes, at, at + available);
        this.#cutBytes += available;
        if (available === missing) this.#complete(this.#cut.subarray(0, this.#payloadBytes));
      }
      at += available;
    }
    // A frame without payload is complete with its header, though no byte of it is left.
    if (this.#headerBytes === frameHeaderBytes && this.#payloadBytes === 0) this.#complete(Buffer.alloc(0));
  }

  #grown(bytes: number): Buffer {
    const larger = Buffer.allocUnsafeSlow(Math.min(longestPayloadBytes, 2 ** Math.ceil(Math.log2(bytes))));
    this.#cut.copy(larger, 0, 0, this.#cutBytes);
    return larger;
  }

  #checkHeader(): void {
    const type = typeById.get(this.#header.readUInt8(0));
    const encoding = this.#header.readUInt8(1);
    if (type === undefined || encoding > encodingZstd || this.#header.readUInt16BE(2) !== 0) {
      throw new WireError('malformed', `no frame starts with ${this.#header.toString('hex')}`);
    }
    const payloadBytes = this.#header.readUInt32BE(4);
    const rawBytes = this.#header.readUInt32BE(8);
    const { maxBytes } = frameTypes[type];
    if (rawBytes > maxBytes || payloadBytes > maxBytes) {
      throw new WireError('too-long', `a frame "${type}" of ${Math.max(rawBytes, payloadBytes)} bytes`);
    }
    if (encoding === encodingPlain && payloadBytes !== rawBytes) {
      throw new WireError('malformed', `a plain frame "${type}" with two lengths`);
    }
    this.#type = type;
    this.#payloadBytes = payloadBytes;
  }

  #complete(payload: Buffer): void {
    const rawBytes = this.#header.readUInt32BE(8);
    const compressed = this.#header.readUInt8(1) === encodingZstd;
    this.#headerBytes = 0;
    this.#cutBytes = 0;
    this.wireBytes += frameHeaderBytes + payload.length;
    this.#onFrame(this.#type, compressed ? decompress(payload, rawBytes) : payload);
  }
}

function decompress(payload: Buffer, rawBytes: number): Buffer {
  let raw: Buffer;
  try {
    // Without a chunk that holds all of it and a little more, zlib would make pieces and join them.
    raw = zstdDecompressSync(payload, { maxOutputLength: Math.max(rawBytes, 1), chunkSize: rawBytes + 64 });
  } catch (cause) {
    throw new WireError('malformed', 'a compressed frame cannot be decompressed', cause);
  }
  if (raw.length !== rawBytes) throw new WireError('malformed', 'a compressed frame has another length');
  return raw;
}
