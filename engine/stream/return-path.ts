/**
 * The return path, destination to source, on the same connection as the stream (capability return-path): type16,
 * length16, data, big-endian (migration/migration.c, migrate_send_rp_message and source_return_path_thread).
 */
import { CodedError } from '../../foundation/coded-error.ts';
import { pageSizeBytes } from '../list/page-list.ts';
import { receivedBitmapEnd, returnPathMessage } from './records.ts';

interface ReturnPathMessage {
  /** One of `returnPathMessage`, or a type that this codec does not know. */
  readonly type: number;
  readonly data: Buffer;
}

/** QEMU reads messages into a buffer of 512 bytes; the longest it sends has 12 bytes and a block name. */
const maxDataBytes = 512;
const headerBytes = 4;
/** A type beyond any that QEMU has or is likely to get means that the reader is out of step. */
const greatestType = 0xff;

/** Which pages of a RAM block the target has: bit n, counted from the lowest of the first byte on, is page n. */
export interface ReceivedBitmap {
  /** As it stands in the stream. */
  readonly blockName: string;
  readonly bits: Buffer;
}

/** Of 2 TiB. */
const maxBitmapBytes = 64 * 1024 * 1024;
const bitmapSizeBytes = 8;
const bitmapEndBytes = 8;

/** Incremental parser. */
export class ReturnPathReader {
  readonly #onMessage: (message: ReturnPathMessage) => void;
  readonly #onBitmap: ((bitmap: ReceivedBitmap) => void) | undefined;
  readonly #cut = Buffer.alloc(headerBytes + maxDataBytes);
  #cutBytes = 0;
  #bitmap: BitmapReader | undefined;

  /**
   * The data of a message given to `onMessage` is valid only during the call.
   *
   * @param onBitmap takes what follows a RECV_BITMAP in a format of its own, which comes only where it was asked for
   */
  constructor(onMessage: (message: ReturnPathMessage) => void, onBitmap?: (bitmap: ReceivedBitmap) => void) {
    this.#onMessage = onMessage;
    this.#onBitmap = onBitmap;
  }

  /**
   * Takes the next bytes, cut anywhere.
   *
   * @throws CodedError 'stream', 'return-path' on a message that no QEMU sends
   */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#bitmap !== undefined) {
        at = this.#bitmap.push(chunk, at);
        const { read } = this.#bitmap;
        if (read === undefined) return;
        this.#bitmap = undefined;
        this.#onBitmap?.(read);
        continue;
      }
      const neededBytes =
        this.#cutBytes < headerBytes ? headerBytes : headerBytes + this.#cut.readUInt16BE(2);
      const copied = chunk.copy(this.#cut, this.#cutBytes, at, at + neededBytes - this.#cutBytes);
      at += copied;
      this.#cutBytes += copied;
      if (this.#cutBytes < headerBytes) return;
      const type = this.#cut.readUInt16BE(0);
      const dataBytes = this.#cut.readUInt16BE(2);
      if (type === 0 || type > greatestType || dataBytes > maxDataBytes) {
        throw new CodedError(
          'stream',
          'return-path',
          `a return path message of type ${type} and ${dataBytes} bytes`,
        );
      }
      if (this.#cutBytes === headerBytes + dataBytes) {
        this.#cutBytes = 0;
        const data = this.#cut.subarray(headerBytes, headerBytes + dataBytes);
        if (type === returnPathMessage.receivedBitmap && this.#onBitmap !== undefined)
          this.#bitmap = new BitmapReader(data);
        else this.#onMessage({ type, data });
      }
    }
  }
}

/** size64, the bitmap, end64 (migration/ram.c, ramblock_recv_bitmap_send). */
class BitmapReader {
  readonly #blockName: string;
  readonly #parts: Buffer[] = [];
  #lengthBytes = 0;
  #neededBytes = bitmapSizeBytes;
  #bits: Buffer | undefined;

  /** @param data of the message: u8 length + block name */
  constructor(data: Buffer) {
    if (data.length === 0 || data.length !== 1 + data.readUInt8(0)) throw badBitmap();
    this.#blockName = data.toString('latin1', 1);
  }

  /** What was read, when it is whole. */
  get read(): ReceivedBitmap | undefined {
    return this.#bits === undefined ? undefined : { blockName: this.#blockName, bits: this.#bits };
  }

  /** Returns where what follows it starts in `chunk`. */
  push(chunk: Buffer, at: number): number {
    let next = at;
    while (this.#bits === undefined && next < chunk.length) {
      const part = chunk.subarray(next, next + this.#neededBytes - this.#lengthBytes);
      this.#parts.push(Buffer.from(part));
      this.#lengthBytes += part.length;
      next += part.length;
      if (this.#lengthBytes === this.#neededBytes) this.#whole();
    }
    return next;
  }

  #whole(): void {
    const bytes = Buffer.concat(this.#parts.splice(0));
    if (this.#neededBytes === bitmapSizeBytes) {
      const size = bytes.readBigUInt64BE(0);
      if (size === 0n || size % 8n !== 0n || size > BigInt(maxBitmapBytes)) throw badBitmap();
      this.#lengthBytes = 0;
      this.#neededBytes = Number(size) + bitmapEndBytes;
      return;
    }
    const bitsEnd = bytes.length - bitmapEndBytes;
    if (bytes.readBigUInt64BE(bitsEnd) !== receivedBitmapEnd) throw badBitmap();
    this.#bits = bytes.subarray(0, bitsEnd);
  }
}

function badBitmap(): CodedError<'stream'> {
  return new CodedError('stream', 'return-path', 'a bitmap of received pages that no QEMU writes');
}

export function encodeReturnPathMessage({ type, data }: ReturnPathMessage): Buffer {
  const message = Buffer.alloc(headerBytes + data.length);
  message.writeUInt16BE(type, 0);
  message.writeUInt16BE(data.length, 2);
  data.copy(message, headerBytes);
  return message;
}

/** Pages that the target's VM waits for (migration/migration.c, migrate_send_rp_message_req_pages). */
export interface PageRequest {
  /** As it stands in the stream. */
  readonly blockName: string;
  readonly pageIndex: number;
  readonly pageCount: number;
}

const requestBytes = 12;

/** Reads requests, the later of which may name no block: then it is the one of the request before. */
export class PageRequestReader {
  #blockName: string | undefined;

  /**
   * A message's request; undefined if it is none.
   *
   * @throws CodedError 'stream', 'return-path' if no QEMU writes it so
   */
  read({ type, data }: ReturnPathMessage): PageRequest | undefined {
    switch (type) {
      case returnPathMessage.requestPagesOfBlock: {
        const nameBytes = data[requestBytes];
        if (nameBytes === undefined || data.length !== requestBytes + 1 + nameBytes) throw badRequest();
        this.#blockName = data.toString('latin1', requestBytes + 1);
        break;
      }
      case returnPathMessage.requestPages:
        if (data.length !== requestBytes || this.#blockName === undefined) throw badRequest();
        break;
      default:
        return undefined;
    }
    const startBytes = data.readBigUInt64BE(0);
    const lengthBytes = data.readUInt32BE(8);
    if (startBytes % BigInt(pageSizeBytes) !== 0n || lengthBytes === 0 || lengthBytes % pageSizeBytes !== 0)
      throw badRequest();
    return {
      blockName: this.#blockName,
      pageIndex: Number(startBytes / BigInt(pageSizeBytes)),
      pageCount: lengthBytes / pageSizeBytes,
    };
  }
}

function badRequest(): CodedError<'stream'> {
  return new CodedError('stream', 'return-path', 'a request for pages that no QEMU writes');
}

/** A request as a whole message, which names its block. */
export function encodePageRequest({ blockName, pageIndex, pageCount }: PageRequest): Buffer {
  const name = Buffer.from(blockName, 'latin1');
  const data = Buffer.alloc(requestBytes + 1 + name.length);
  data.writeBigUInt64BE(BigInt(pageIndex) * BigInt(pageSizeBytes), 0);
  data.writeUInt32BE(pageCount * pageSizeBytes, 8);
  data.writeUInt8(name.length, requestBytes);
  name.copy(data, requestBytes + 1);
  return encodeReturnPathMessage({ type: returnPathMessage.requestPagesOfBlock, data });
}

/**
 * Relays the return path and withholds the destination's switchover ack until the gate opens. A source
 * with the capability switchover-ack goes on iterating meanwhile (migration/migration.c, migration_iteration_run).
 */
export class SwitchoverGate {
  readonly #output: (message: Buffer) => void;
  readonly #reader = new ReturnPathReader((message) => {
    this.#take(message);
  });
  #state: 'closed' | 'ack-withheld' | 'open' = 'closed';

  constructor(output: (message: Buffer) => void) {
    this.#output = output;
  }

  /** 'ack-withheld': the destination has sent it and the source does not know it yet. */
  get state(): 'closed' | 'ack-withheld' | 'open' {
    return this.#state;
  }

  /** Takes bytes from the destination. Throws as ReturnPathReader.push does. */
  push(chunk: Buffer): void {
    this.#reader.push(chunk);
  }

  /** Lets the ack pass, at once if it is there. Idempotent. */
  open(): void {
    const withheld = this.#state === 'ack-withheld';
    this.#state = 'open';
    if (withheld) {
      this.#output(encodeReturnPathMessage({ type: returnPathMessage.switchoverAck, data: Buffer.alloc(0) }));
    }
  }

  #take(message: ReturnPathMessage): void {
    if (message.type === returnPathMessage.switchoverAck && this.#state !== 'open') {
      this.#state = 'ack-withheld';
      return;
    }
    this.#output(encodeReturnPathMessage(message));
  }
}
