/**
 * The runs of a page list as they came: in columns of varints (page-list-codec.ts), which take half of what they do as numbers,
 * and with them the larger part of an engine's memory. A cursor unpacks them some thousands at a time, from either end.
 */
import { CodedError } from '../../foundation/coded-error.ts';
import { emptyRuns, malformed, type PageRuns, type RunColumns } from './page-list.ts';

/** A varint of a zigzag 33-bit number takes 5 bytes, a count (16 bits) 3. */
export const maxRunBytes = 5 + 3 + 5;
export const minRunBytes = 3;
/** Frame and block numbers have 32 bits. */
export const blockNumbers = 2 ** 32;
/** Runs that are unpacked at once. */
export const groupRuns = 4096;

/** Where the varints of a group of runs begin, and what they count from. */
interface Group {
  readonly distanceAt: number;
  readonly countAt: number;
  readonly frameAt: number;
  readonly section: number;
  readonly block: number;
  readonly frame: number;
}

export class PackedRuns {
  readonly length: number;
  readonly firstColdRun: number;
  /** Sum of all counts, and of those of cold runs. */
  readonly pageCount: number;
  readonly coldPages: number;
  readonly #columns: Buffer;
  readonly #groups: readonly Group[];
  readonly #sections: Sections;

  private constructor(
    columns: Buffer,
    length: number,
    sections: Sections,
    groups: readonly Group[],
    pageCount: number,
    coldPages: number,
  ) {
    this.#columns = columns;
    this.length = length;
    this.firstColdRun = sections.ends[sections.sources - 1] ?? 0;
    this.#sections = sections;
    this.#groups = groups;
    this.pageCount = pageCount;
    this.coldPages = coldPages;
  }

  /**
   * Takes the columns over and checks all of them, with a break after each slice of work.
   *
   * @param hotRuns how many runs of hot pages each source has
   * @param coldRuns and of cold ones, which come behind them
   * @throws CodedError 'page-list', 'malformed', 'too-large'
   */
  static *check(
    columns: Buffer,
    length: number,
    hotRuns: readonly number[],
    coldRuns: readonly number[],
    maxPages: number,
  ): Generator<undefined, PackedRuns> {
    const sections = { ends: sumsOf([...hotRuns, ...coldRuns], length), sources: hotRuns.length };
    const reader = yield* RunReader.atStart(columns, length, sections);
    const groups: Group[] = [];
    let pageCount = 0;
    let coldPages = 0;
    for (let run = 0; run < length; run++) {
      if (run % groupRuns === 0) {
        groups.push(reader.group);
        yield;
      }
      reader.next(run);
      reader.check(run);
      pageCount += reader.count;
      if (reader.isCold) coldPages += reader.count;
      if (pageCount > maxPages)
        throw new CodedError('page-list', 'too-large', `more than the ${maxPages} pages that are allowed`);
    }
    if (reader.group.frameAt !== columns.length) throw malformed('bytes are left over after the last column');
    return new PackedRuns(columns, length, sections, groups, pageCount, coldPages);
  }

  /** A cursor at the first run. */
  cursor(): RunCursor {
    return new RunCursor(this);
  }

  /** Unpacks up to groupRuns runs, those from `group * groupRuns` on. */
  unpack(group: number, into: RunColumns): void {
    const from = this.#groups[group];
    if (from === undefined) return;
    const reader = new RunReader(this.#columns, from, this.#sections);
    const firstRun = group * groupRuns;
    const runs = Math.min(groupRuns, this.length - firstRun);
    for (let i = 0; i < runs; i++) {
      reader.next(firstRun + i);
      into.sourceIndex[i] = reader.sourceIndex;
      into.storageBlock[i] = reader.block;
      into.guestFrame[i] = reader.frame;
      into.count[i] = reader.count;
    }
  }
}

/** A run among packed ones. Outside of the list all of it is 0. */
export class RunCursor {
  run = -1;
  sourceIndex = 0;
  storageBlock = 0;
  guestFrame = 0;
  count = 0;
  readonly #runs: PackedRuns;
  readonly #group = emptyRuns(groupRuns);
  #groupIndex = -1;

  constructor(runs: PackedRuns) {
    this.#runs = runs;
    this.moveTo(0);
  }

  moveTo(run: number): void {
    this.run = run;
    const inside = run >= 0 && run < this.#runs.length;
    const groupIndex = Math.floor(run / groupRuns);
    if (inside && groupIndex !== this.#groupIndex) {
      this.#runs.unpack(groupIndex, this.#group);
      this.#groupIndex = groupIndex;
    }
    const at = inside ? run % groupRuns : -1;
    this.sourceIndex = this.#group.sourceIndex[at] ?? 0;
    this.storageBlock = this.#group.storageBlock[at] ?? 0;
    this.guestFrame = this.#group.guestFrame[at] ?? 0;
    this.count = this.#group.count[at] ?? 0;
  }
}

/** All runs as numbers, for those who need no more than a few. */
export function unpackAll(runs: PackedRuns): PageRuns {
  const all = emptyRuns(runs.length);
  const cursor = runs.cursor();
  for (let run = 0; run < runs.length; run++) {
    cursor.moveTo(run);
    all.sourceIndex[run] = cursor.sourceIndex;
    all.storageBlock[run] = cursor.storageBlock;
    all.guestFrame[run] = cursor.guestFrame;
    all.count[run] = cursor.count;
  }
  return { ...all, firstColdRun: runs.firstColdRun };
}

/** The hot runs of each source, then the cold runs of each. */
interface Sections {
  /** For each the run after its last one. */
  readonly ends: Uint32Array;
  readonly sources: number;
}

function sumsOf(runs: readonly number[], length: number): Uint32Array {
  let sum = 0;
  const sums = runs.map((count) => (sum += count));
  if (sum > length) throw malformed('its sources have more runs than there are');
  if (sum < length) throw malformed('its sources have fewer runs than there are');
  return Uint32Array.from(sums);
}

/** Reads runs one after the other. */
class RunReader {
  block = 0;
  frame = 0;
  count = 0;
  /** Block and frame after the run before. */
  #expectedBlock: number;
  #expectedFrame: number;
  #section: number;
  /** Block of the run before in the same section. */
  #previousBlock: number;
  readonly #sections: Sections;
  readonly #distances: VarintReader;
  readonly #counts: VarintReader;
  readonly #frames: VarintReader;

  constructor(columns: Buffer, group: Group, sections: Sections) {
    this.#section = group.section;
    this.#expectedBlock = group.block;
    this.#expectedFrame = group.frame;
    this.#previousBlock = 0;
    this.#sections = sections;
    this.#distances = new VarintReader(columns, group.distanceAt);
    this.#counts = new VarintReader(columns, group.countAt);
    this.#frames = new VarintReader(columns, group.frameAt);
  }

  static *atStart(columns: Buffer, length: number, sections: Sections): Generator<undefined, RunReader> {
    // Two of the columns are passed over, so that the three are read side by side.
    const passed = new VarintReader(columns, 0);
    yield* passed.skip(length);
    const countAt = passed.offset;
    yield* passed.skip(length);
    const start = { distanceAt: 0, countAt, frameAt: passed.offset, section: 0, block: 0, frame: 0 };
    return new RunReader(columns, start, sections);
  }

  get isCold(): boolean {
    return this.#section >= this.#sections.sources;
  }

  get sourceIndex(): number {
    return this.#section - (this.isCold ? this.#sections.sources : 0);
  }

  /** Where the next run begins. */
  get group(): Group {
    return {
      distanceAt: this.#distances.offset,
      countAt: this.#counts.offset,
      frameAt: this.#frames.offset,
      section: this.#section,
      block: this.#expectedBlock,
      frame: this.#expectedFrame,
    };
  }

  next(run: number): void {
    while (run >= (this.#sections.ends[this.#section] ?? Infinity)) {
      this.#section += 1;
      this.#expectedBlock = 0;
      this.#previousBlock = 0;
    }
    this.count = this.#counts.unsigned() + 1;
    this.block = this.#expectedBlock + this.#distances.signed();
    this.frame = this.#expectedFrame + this.#frames.signed();
    this.#expectedBlock = this.block + this.count;
    this.#expectedFrame = this.frame + this.count;
  }

  /** To be called after each run of a list that is not trusted yet. */
  check(run: number): void {
    const { count, block, frame } = this;
    if (count > 0xffff) throw malformed(`run ${run} has ${count} pages`);
    if (block < this.#previousBlock) throw malformed(`run ${run} is not in storage order`);
    if (block + count > blockNumbers) throw malformed(`run ${run} has a storage block out of range`);
    if (frame < 0 || frame + count > blockNumbers) {
      throw malformed(`run ${run} has a guest frame out of range`);
    }
    this.#previousBlock = block;
  }
}

/** Reads varints one after the other; a varint that is cut or longer than 5 bytes is an error. */
class VarintReader {
  offset: number;
  private readonly bytes: Buffer;

  constructor(bytes: Buffer, offset: number) {
    this.bytes = bytes;
    this.offset = offset;
  }

  /** Passes over so many numbers, whatever they are, with breaks. */
  *skip(count: number): Generator<undefined, void> {
    for (let left = count; left > 0; left -= Math.min(left, 16 * groupRuns)) {
      this.skipAtOnce(Math.min(left, 16 * groupRuns));
      yield;
    }
  }

  private skipAtOnce(count: number): void {
    for (let passed = 0, length = 1; passed < count; this.offset++, length++) {
      const byte = this.bytes[this.offset];
      if (byte === undefined) throw malformed('a number is cut short');
      // Else one number could be as long as all of the columns.
      if (length > 5) throw malformed('a number is longer than 5 bytes');
      if (byte >= 0x80) continue;
      passed++;
      length = 0;
    }
  }

  unsigned(): number {
    let value = 0;
    let scale = 1;
    for (let length = 0; length < 5; length++) {
      const byte = this.bytes[this.offset];
      if (byte === undefined) throw malformed('a number is cut short');
      this.offset++;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    throw malformed('a number is longer than 5 bytes');
  }

  signed(): number {
    const value = this.unsigned();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
}
