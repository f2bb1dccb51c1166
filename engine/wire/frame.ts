/**
 * Frames of the connection between the source engine and the destination engine. Integers are big-endian.
 *
 *     offset  size  field
 *          0     1  type
 *          1     1  encoding: 0 plain, 1 zstd
 *          2     2  0
 *          4     4  bytes of payload that follow
 *          8     4  bytes of payload once decompressed
 *
 * Without TLS, which lets no bit change, two checksums follow (CRC-32 as in zlib):
 *
 *         12     4  of the payload as it follows
 *         16     4  of the 16 bytes before: a length is not believed, nor waited for, before this fits
 */
import { crc32, zstdDecompressSync } from 'node:zlib';
import { CodedError } from '../../foundation/coded-error.ts';

/** Number and greatest payload, decompressed, of each kind of frame. */
export const frameTypes = {
  /** Both ways, first: JSON, `Hello`. */
  hello: { id: 1, maxBytes: 4096 },
  /** Source to destination: bytes of QEMU's stream, filtered. */
  stream: { id: 2, maxBytes: 1024 * 1024 },
  /** Source to destination: QEMU has written its whole stream; what is held of it may be delivered. */
  commit: { id: 3, maxBytes: 0 },
  /** Source to destination, before `commit`: asks for `confirmed`. */
  confirm: { id: 24, maxBytes: 0 },
  /** Destination to source, answers `confirm`: all of the stream before it is with the target, or is held for it. */
  confirmed: { id: 25, maxBytes: 0 },
  /** Source to destination: JSON, `Sources`. */
  sources: { id: 5, maxBytes: 8 * 1024 * 1024 },
  /** Destination to source, answers `sources`: JSON, `Storage`. */
  storage: { id: 6, maxBytes: 8 * 1024 * 1024 },
  /** Source to destination: pages to restore (plan-codec.ts). */
  plan: { id: 7, maxBytes: 256 * 1024 },
  /** Destination to source: JSON, `RestoreStatus`. */
  status: { id: 8, maxBytes: 64 * 1024 },
  /** Destination to source: pages that storage does not give (plan-codec.ts). */
  ask: { id: 9, maxBytes: 256 * 1024 },
  /** Destination to source: u64, bytes of frames taken so far. */
  acknowledge: { id: 10, maxBytes: 8 },
  /** Destination to source: bytes of QEMU's return path. */
  returnPath: { id: 11, maxBytes: 64 * 1024 },
  /** Destination to source, ten times a second: JSON, `DestinationLoad`. */
  load: { id: 20, maxBytes: 256 },
  /** Both ways, so that the other engine hears something. */
  heartbeat: { id: 13, maxBytes: 0 },
  /** Both ways, last: JSON, `Abort`. */
  abort: { id: 14, maxBytes: 4096 },
  /** Destination to source, answers `commit`: the target has everything, and has said so. */
  started: { id: 15, maxBytes: 0 },
  /** Source to destination, before the stream: it becomes post-copy (early resume). */
  early: { id: 17, maxBytes: 0 },
  /** Destination to source, answers `commit` in a migration that becomes post-copy: the target has loaded the package. */
  moved: { id: 16, maxBytes: 0 },
  /** Destination to source, after `moved`: it needs nothing from there any more. */
  sourceFree: { id: 18, maxBytes: 0 },
  /** Destination to source: storage has not given something, and it is needed again. */
  sourceNeeded: { id: 19, maxBytes: 0 },
} as const;

export type FrameType = keyof typeof frameTypes;

/** What finds a changed bit: TLS below the frames, or checksums of their own. */
export type FrameProtection = 'tls' | 'checksums';

const plainHeaderBytes = 12;
const encodingPlain = 0;
const encodingZstd = 1;
/** First bytes of TLS records, which are no types of frames: handshake and alert (RFC 8446, 5.1). */
const tlsRecordTypes: readonly number[] = [22, 21];

const typeById = new Map<number, FrameType>(
  (Object.keys(frameTypes) as FrameType[]).map((type) => [frameTypes[type].id, type]),
);

/** Greatest payload of any frame as it crosses the wire; compression is left out where it does not make it shorter. */
const maxPayloadBytes = Math.max(...Object.values(frameTypes).map(({ maxBytes }) => maxBytes));

function frameHeaderBytes(protection: FrameProtection): number {
  return protection === 'checksums' ? plainHeaderBytes + 8 : plainHeaderBytes;
}

/**
 * Header of a frame.
 *
 * @param payload as it follows
 * @param rawBytes of payload before compression; undefined if it is not compressed
 */
export function frameHeader(
  type: FrameType,
  payload: Buffer,
  rawBytes: number | undefined,
  protection: FrameProtection,
): Buffer {
  const header = Buffer.alloc(frameHeaderBytes(protection));
  header.writeUInt8(frameTypes[type].id, 0);
  header.writeUInt8(rawBytes === undefined ? encodingPlain : encodingZstd, 1);
  header.writeUInt32BE(payload.length, 4);
  header.writeUInt32BE(rawBytes ?? payload.length, 8);
  if (protection === 'checksums') {
    header.writeUInt32BE(crc32(payload), 12);
    header.writeUInt32BE(crc32(header.subarray(0, 16)), 16);
  }
  return header;
}

/** Receives a frame, synchronously; the payload is valid only during the call. */
type FrameHandler = (type: FrameType, payload: Buffer) => void;

/** Incremental reader. Nothing is allocated by a length before that length was checked against its type. */
export class FrameReader {
  /** Bytes of all frames taken so far, headers included. */
  wireBytes = 0;
  readonly #onFrame: FrameHandler;
  readonly #protection: FrameProtection;
  readonly #accepts: (type: FrameType) => boolean;
  readonly #header: Buffer;
  #headerBytes = 0;
  #type: FrameType = 'heartbeat';
  #payloadBytes = 0;
  /** Payload that is cut by the end of a chunk; grows to the longest payload seen. */
  #cut: Buffer = Buffer.alloc(0);
  #cutBytes = 0;

  /** @param accepts whether a frame of this type may come now; asked before anything is kept of it */
  constructor(
    protection: FrameProtection,
    onFrame: FrameHandler,
    accepts: (type: FrameType) => boolean = () => true,
  ) {
    this.#protection = protection;
    this.#header = Buffer.alloc(frameHeaderBytes(protection));
    this.#onFrame = onFrame;
    this.#accepts = accepts;
  }

  /**
   * Takes the next bytes, cut anywhere.
   *
   * @throws CodedError 'wire', 'malformed', 'corrupt' or 'too-long'; the reader is of no use afterwards
   */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#headerBytes < this.#header.length) {
        const taken = chunk.copy(this.#header, this.#headerBytes, at);
        at += taken;
        this.#headerBytes += taken;
        if (this.#headerBytes < this.#header.length) {
          // Another program may say less than a header, and wait.
          this.#checkFirstByte();
          return;
        }
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
    if (this.#headerBytes === this.#header.length && this.#payloadBytes === 0)
      this.#complete(Buffer.alloc(0));
  }

  #grown(bytes: number): Buffer {
    const larger = Buffer.allocUnsafeSlow(Math.min(maxPayloadBytes, 2 ** Math.ceil(Math.log2(bytes))));
    this.#cut.copy(larger, 0, 0, this.#cutBytes);
    return larger;
  }

  /** Says what other programs get who speak first to an engine. */
  #checkFirstByte(): void {
    const first = this.#header.readUInt8(0);
    if (this.wireBytes > 0 || typeById.has(first)) return;
    if (tlsRecordTypes.includes(first)) {
      throw new CodedError(
        'wire',
        'malformed',
        'the other engine speaks TLS, this one was told --insecure-plaintext',
      );
    }
    throw new CodedError('wire', 'malformed', `no frame starts with the byte ${first}`);
  }

  #checkHeader(): void {
    const header = this.#header;
    this.#checkFirstByte();
    if (this.#protection === 'checksums' && crc32(header.subarray(0, 16)) !== header.readUInt32BE(16)) {
      throw corrupt();
    }
    const type = typeById.get(header.readUInt8(0));
    const encoding = header.readUInt8(1);
    if (type === undefined || encoding > encodingZstd || header.readUInt16BE(2) !== 0) {
      throw new CodedError('wire', 'malformed', `no frame starts with ${header.toString('hex')}`);
    }
    if (!this.#accepts(type)) {
      throw new CodedError('wire', 'malformed', `the other engine sends "${type}" before its greeting`);
    }
    const payloadBytes = header.readUInt32BE(4);
    const rawBytes = header.readUInt32BE(8);
    const { maxBytes } = frameTypes[type];
    if (rawBytes > maxBytes || payloadBytes > maxBytes) {
      throw new CodedError(
        'wire',
        'too-long',
        `a frame "${type}" of ${Math.max(rawBytes, payloadBytes)} bytes`,
      );
    }
    if (encoding === encodingPlain && payloadBytes !== rawBytes) {
      throw new CodedError('wire', 'malformed', `a plain frame "${type}" with two lengths`);
    }
    this.#type = type;
    this.#payloadBytes = payloadBytes;
  }

  #complete(payload: Buffer): void {
    const header = this.#header;
    const rawBytes = header.readUInt32BE(8);
    const compressed = header.readUInt8(1) === encodingZstd;
    if (this.#protection === 'checksums' && crc32(payload) !== header.readUInt32BE(12)) throw corrupt();
    this.#headerBytes = 0;
    this.#cutBytes = 0;
    this.wireBytes += header.length + payload.length;
    this.#onFrame(this.#type, compressed ? decompress(payload, rawBytes) : payload);
  }
}

function corrupt(): CodedError<'wire'> {
  return new CodedError('wire', 'corrupt', 'bytes were changed on their way between the engines');
}

function decompress(payload: Buffer, rawBytes: number): Buffer {
  let raw: Buffer;
  try {
    // Without a chunk that holds all of it and a little more, zlib would make pieces and join them.
    raw = zstdDecompressSync(payload, { maxOutputLength: Math.max(rawBytes, 1), chunkSize: rawBytes + 64 });
  } catch (cause) {
    throw new CodedError('wire', 'malformed', 'a compressed frame cannot be decompressed', { cause });
  }
  if (raw.length !== rawBytes)
    throw new CodedError('wire', 'malformed', 'a compressed frame has another length');
  return raw;
}
