/**
 * The end of a pre-copy stream, said as the end of a post-copy one, for a target that is to run before all of its memory is there:
 * device state comes in a package with the commands to run, and RAM ends after it (migration/migration.c, postcopy_start).
 */
import { CodedError } from '../../foundation/coded-error.ts';
import { maxPackageBytes, sectionType, streamCommand } from './records.ts';
import { endOfFileAt, StreamEnd } from './stream-end.ts';
import { encodeCommand, encodeSectionEnd } from './writer.ts';

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

  /** Whether all of it is there, as far as what came last says it. */
  get isWhole(): boolean {
    return this.#end.complete;
  }

  /** What stands in its place, to its last byte. */
  bytes(ramSectionId: number): Buffer {
    const all = Buffer.concat(this.#parts);
    const ping = Buffer.alloc(4);
    ping.writeUInt32BE(packageLoadedPing);
    const packaged = Buffer.concat([
      encodeCommand(streamCommand.postcopyListen),
      all.subarray(0, endOfFileAt(all)),
      encodeCommand(streamCommand.ping, ping),
      encodeCommand(streamCommand.postcopyRun),
    ]);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(packaged.length);
    return Buffer.concat([
      encodeCommand(streamCommand.packaged, length),
      packaged,
      encodeSectionEnd(ramSectionId),
      Buffer.of(sectionType.endOfFile),
    ]);
  }
}
