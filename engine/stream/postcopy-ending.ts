/**
 * The end of a pre-copy stream, said as the end of a post-copy one, for a target that is to run before all of its memory is there:
 * device state comes in a package with the commands to run, and RAM ends after it (migration/migration.c, postcopy_start).
 */
import { CodedError } from '../../foundation/coded-error.ts';
import { maxPackageBytes, sectionTailBytes, sectionType, streamCommand } from './records.ts';
import { endOfFileAt, StreamEnd } from './stream-end.ts';
import { partHeaderBytes, writeCommandHeader, writePartHeader, writeSectionTail } from './writer.ts';

/** QEMU's last PING in the package, behind all device state: its answer says that it was loaded (migration/migration.c, postcopy_start). */
export const packageLoadedPing = 3;

export class PostcopyEnding {
  readonly #parts: Buffer[] = [];
  #lengthBytes = 0;
  readonly #end = new StreamEnd();

  /**
   * Takes what follows RAM in the pre-copy stream, cut anywhere. Returns whether it is all there.
   *
   * @throws CodedError 'stream', 'unsupported' when it is more than a target takes in a package
   */
  push(bytes: Buffer): boolean {
    this.#parts.push(Buffer.from(bytes));
    this.#lengthBytes += bytes.length;
    if (this.#lengthBytes > maxPackageBytes)
      throw new CodedError('stream', 'unsupported', `device state of more than ${maxPackageBytes} bytes`, {
        reason: 'postcopy',
      });
    return this.#end.push(bytes);
  }

  /** What stands in its place, to its last byte. */
  bytes(ramSectionId: number): Buffer {
    const all = Buffer.concat(this.#parts);
    const ping = Buffer.alloc(4);
    ping.writeUInt32BE(packageLoadedPing);
    const packaged = Buffer.concat([
      command(streamCommand.postcopyListen),
      all.subarray(0, endOfFileAt(all)),
      command(streamCommand.ping, ping),
      command(streamCommand.postcopyRun),
    ]);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(packaged.length);
    const ramEnd = Buffer.alloc(partHeaderBytes + sectionTailBytes);
    const tail = writePartHeader(ramEnd, 0, ramSectionId);
    ramEnd.writeUInt8(sectionType.end, 0);
    writeSectionTail(ramEnd, tail, ramSectionId);
    return Buffer.concat([
      command(streamCommand.packaged, length),
      packaged,
      ramEnd,
      Buffer.of(sectionType.endOfFile),
    ]);
  }
}

function command(code: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(5);
  writeCommandHeader(header, 0, code, data.length);
  return Buffer.concat([header, data]);
}
