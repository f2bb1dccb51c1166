import { receivedBitmapEnd, returnPathMessage } from '../records.ts';
import { encodeReturnPathMessage } from '../return-path.ts';

/** As QEMU writes it: a message with the block's name, then size, bits and end outside of it (migration/ram.c, ramblock_recv_bitmap_send). */
export function encodeReceivedBitmap(name: string, bits: Buffer): Buffer {
  const size = Buffer.alloc(8);
  size.writeBigUInt64BE(BigInt(bits.length));
  const end = Buffer.alloc(8);
  end.writeBigUInt64BE(receivedBitmapEnd);
  const data = Buffer.concat([Buffer.of(name.length), Buffer.from(name, 'latin1')]);
  const message = encodeReturnPathMessage({ type: returnPathMessage.receivedBitmap, data });
  return Buffer.concat([message, size, bits, end]);
}
