/**
 * Tells when QEMU has written its whole stream. With a return path QEMU leaves the connection open and waits for the
 * target's word, so that only the content says it: the stream ends with the description of the device state, 06 length32
 * JSON (migration/savevm.c, qemu_savevm_state_complete_precopy_non_iterable).
 */
import { sectionType } from '../stream/records.ts';

/** Longer descriptions are not recognised; then the end shows in QEMU's silence. */
const longestBytes = 4 * 1024 * 1024;
const headerBytes = 5;
const openBrace = 0x7b;
const closeBrace = 0x7d;

export class StreamEnd {
  #bytes = Buffer.allocUnsafe(64 * 1024);
  #filledBytes = 0;

  /** Takes bytes of the device state, cut anywhere. Returns whether the stream is complete with them. */
  push(chunk: Buffer): boolean {
    this.#append(chunk);
    const tail = this.#bytes.subarray(0, this.#filledBytes);
    if (tail.at(-1) !== closeBrace) return false;
    // The text holds no control characters, so that only the last few bytes of this value can be the marker.
    let at = tail.lastIndexOf(sectionType.description);
    for (let tries = 0; at >= 0 && tries < headerBytes; tries++) {
      const text = at + headerBytes;
      if (text < tail.length && tail.readUInt32BE(at + 1) === tail.length - text)
        return tail[text] === openBrace;
      at = at === 0 ? -1 : tail.lastIndexOf(sectionType.description, at - 1);
    }
    return false;
  }

  #append(chunk: Buffer): void {
    const added = chunk.subarray(Math.max(0, chunk.length - longestBytes));
    if (this.#filledBytes + added.length > this.#bytes.length) {
      // Room for twice the longest description, so that what is kept is not moved with each chunk.
      const kept = Math.min(this.#filledBytes, longestBytes);
      const wanted = Math.min(2 * longestBytes, 2 * (kept + added.length));
      const larger = wanted > this.#bytes.length ? Buffer.allocUnsafe(wanted) : this.#bytes;
      this.#bytes.copy(larger, 0, this.#filledBytes - kept, this.#filledBytes);
      this.#bytes = larger;
      this.#filledBytes = kept;
    }
    this.#filledBytes += added.copy(this.#bytes, this.#filledBytes);
  }
}
