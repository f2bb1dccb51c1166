/**
 * Tells when QEMU has written its whole stream. With a return path QEMU leaves the connection open and waits for the
 * target's word, so that only the content says it: the stream ends with 00 and the description of the device state, 06
 * length32 JSON (migration/savevm.c, qemu_savevm_state_complete_precopy_non_iterable). A machine with suppress-vmdesc=on
 * has no description: its end is seen only where QEMU closes its connection.
 *
 * A guest can write such an end to a buffer of one of its devices, which is in the stream before the real one. The description is text of
 * QEMU's own and the last that it sends, so that an end which something follows was none, and a target that has only what came before it
 * cannot start: it reads on in that buffer.
 */
import { sectionType } from './records.ts';

/**
 * Of the end of file byte with the description behind it. A longer one is not recognised, so that who holds so much of a stream's
 * end holds all without which the target cannot start. A machine with 30 devices has 60 kB.
 */
export const maxEndBytes = 4 * 1024 * 1024;
/** 00, 06, length32. */
const headerBytes = 6;
const footerAndEndBytes = 6;
const closeBrace = 0x7d;

export class StreamEnd {
  #bytes = Buffer.allocUnsafe(64 * 1024);
  #filledBytes = 0;
  #complete = false;

  /** Whether the stream's last byte was taken, unless more comes. */
  get complete(): boolean {
    return this.#complete;
  }

  /**
   * Takes bytes of the stream behind RAM, cut anywhere. Returns whether the stream is complete with them: what was taken for its end
   * before was none.
   */
  push(chunk: Buffer): boolean {
    if (chunk.length === 0) return this.#complete;
    this.#append(chunk);
    const end = this.#bytes.subarray(Math.max(0, this.#filledBytes - maxEndBytes), this.#filledBytes);
    this.#complete = descriptionAt(end) !== undefined;
    return this.#complete;
  }

  /**
   * Whether a stream whose writer has closed can have been whole without a description: it ends with a section's footer, 7e
   * id32, and 00.
   */
  get endsWithoutDescription(): boolean {
    const tail = this.#bytes.subarray(Math.max(0, this.#filledBytes - footerAndEndBytes), this.#filledBytes);
    return (
      tail.length === footerAndEndBytes &&
      tail[0] === sectionType.footer &&
      tail.at(-1) === sectionType.endOfFile
    );
  }

  #append(chunk: Buffer): void {
    const added = chunk.subarray(Math.max(0, chunk.length - maxEndBytes));
    if (this.#filledBytes + added.length > this.#bytes.length) {
      // Room for twice the longest end, so that what is kept is not moved with each chunk.
      const kept = Math.min(this.#filledBytes, maxEndBytes);
      const wanted = Math.min(2 * maxEndBytes, 2 * (kept + added.length));
      const larger = wanted > this.#bytes.length ? Buffer.allocUnsafe(wanted) : this.#bytes;
      this.#bytes.copy(larger, 0, this.#filledBytes - kept, this.#filledBytes);
      this.#bytes = larger;
      this.#filledBytes = kept;
    }
    this.#filledBytes += added.copy(this.#bytes, this.#filledBytes);
  }
}

/**
 * Where a whole stream's end of file byte stands in its last bytes: before its description, or at its end. A target that does
 * not have this byte cannot start; one that has it may, whatever is missing of the description.
 */
export function endOfFileAt(tail: Buffer): number {
  const at = descriptionAt(tail);
  return at === undefined ? Math.max(0, tail.length - 1) : at - 1;
}

/** Where the description begins with which `tail` ends. */
function descriptionAt(tail: Buffer): number | undefined {
  if (tail.at(-1) !== closeBrace) return undefined;
  // The text holds no control characters, so that only the last few bytes of this value can be the marker.
  let at = tail.lastIndexOf(sectionType.description);
  for (let tries = 0; at > 0 && tries < headerBytes; tries++) {
    const text = at + headerBytes - 1;
    const fits = text < tail.length && tail.readUInt32BE(at + 1) === tail.length - text;
    if (fits && tail[at - 1] === sectionType.endOfFile && isDescription(tail.subarray(text))) return at;
    at = tail.lastIndexOf(sectionType.description, at - 1);
  }
  return undefined;
}

/** What guest memory or a device's registers hold by chance is no such text (migration/savevm.c, vmdesc). */
function isDescription(text: Buffer): boolean {
  try {
    const value: unknown = JSON.parse(text.toString('latin1'));
    return typeof value === 'object' && value !== null && 'page_size' in value && 'devices' in value;
  } catch {
    return false;
  }
}
