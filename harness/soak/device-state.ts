/** Finds a place in the device state of QEMU's stream as it passes, to hold the stream there. */
import { StreamReader } from '../../engine/stream/reader.ts';
import { sectionType } from '../../engine/stream/records.ts';
import type { Watch } from './relay.ts';

/** Type, id, length of the name. */
const headerBytes = 1 + 4 + 1;
/** Instance and version, after the name. */
const afterNameBytes = 4 + 4;
const footerBytes = 1 + 4;

/**
 * Holds `bytes` after the header of the section, counted from 0, or after the beginning of the description that follows all
 * of them. Sections of devices carry no length, so that their ends are looked for by their footers; bytes of a device that
 * look like one lead to another place of the device state, which does for a fault.
 */
export function inDeviceState(section: number | 'description', bytes: number): Watch {
  let passedBytes = 0;
  let handedOnBytes = 0;
  let ramEndsAt: number | undefined;
  const reader = new StreamReader(
    {
      deviceState: () => {
        ramEndsAt = handedOnBytes;
      },
    },
    (_, start, end) => {
      handedOnBytes += end - start;
    },
  );
  const ramEndAfter = (chunk: Buffer): number | undefined => {
    if (ramEndsAt === undefined) reader.push(chunk);
    return ramEndsAt;
  };
  const sections = new SectionFinder(section);
  return (chunk) => {
    const startsAt = passedBytes;
    passedBytes += chunk.length;
    const ramEnd = ramEndAfter(chunk);
    if (ramEnd === undefined) return undefined;
    const from = Math.max(0, ramEnd - startsAt);
    sections.push(chunk.subarray(from), startsAt + from);
    if (sections.foundAt === undefined) return undefined;
    const holdAt = sections.foundAt + bytes;
    return holdAt < passedBytes ? Math.max(0, holdAt - startsAt) : undefined;
  };
}

class SectionFinder {
  /** Where in the stream what is looked for has begun. */
  foundAt: number | undefined;
  readonly #wanted: number | 'description';
  #count = 0;
  /** Section whose footer comes next. */
  #sectionId: Buffer | undefined;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(wanted: number | 'description') {
    this.#wanted = wanted;
  }

  push(chunk: Buffer, atBytes: number): void {
    if (this.foundAt !== undefined) return;
    const before = this.#bytes.length;
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    let at = 0;
    for (;;) {
      const used = this.#step(at, atBytes - before);
      if (used === 0) break;
      at += used;
    }
    this.#bytes = this.#bytes.subarray(at);
  }

  /**
   * Takes one header, or what lies before a footer and the footer; returns its length, or 0 if it is not whole.
   *
   * @param originBytes where in the stream the bytes that are kept begin
   */
  #step(at: number, originBytes: number): number {
    const rest = this.#bytes.subarray(at);
    if (this.#sectionId !== undefined) {
      const footer = rest.indexOf(Buffer.concat([Buffer.of(sectionType.footer), this.#sectionId]));
      if (footer < 0) return 0;
      this.#sectionId = undefined;
      return footer + footerBytes;
    }
    if (rest[0] === sectionType.endOfFile || rest[0] === sectionType.description) {
      // QEMU says that there is no more device state, and then describes what there was.
      if (rest[0] === sectionType.description && this.#wanted === 'description')
        this.foundAt = originBytes + at;
      return 1;
    }
    const nameBytes = rest[headerBytes - 1];
    if (nameBytes === undefined) return 0;
    const length = rest[0] === sectionType.full ? headerBytes + nameBytes + afterNameBytes : headerBytes - 1;
    if (rest.length < length) return 0;
    this.#sectionId = rest.subarray(1, 5);
    if (rest[0] === sectionType.full && this.#count++ === this.#wanted)
      this.foundAt ??= originBytes + at + length;
    return length;
  }
}
