/**
 * Finds out how a server's block descriptors (buf_block_t) lie in memory, by itself, so that no version has to be known. What
 * holds in every InnoDB: descriptors are an array, with the addresses of frames that follow each other; each says the page
 * number and the tablespace that its frame's header says; a clean page's frame has a valid checksum and its descriptor's
 * oldest_modification is 0 or 1, a dirty one's is a log sequence number; what holds no page differs in its state.
 *
 * A field is taken only if pages proved it: oldest_modification by pages that differ from their files. A server gives a page that it
 * writes a checksum first, and calls it dirty until it is told that it is written; so a checksum alone proves nothing here. What
 * lets no dirty page be seen has no layout, and its frames are read one by one (frame-scan.ts).
 */
import type { Mapping, Memory } from '../process-memory.ts';
import {
  bytesOf,
  type DescriptorArray,
  type DescriptorShape,
  findArrays,
  findShapes,
  u64,
} from './descriptor-arrays.ts';
import type { BlockLayout, StateField } from './layouts.ts';
import { hasValidChecksum, lsnOf, pageNumberOffset, readU32, spaceIdOffset } from './page-format.ts';

/** What was found, as far as it was, with the numbers that say how sure it is. */
export interface Calibration {
  /** Where descriptors lie and which page each says it holds; undefined where not even that was found. */
  readonly shape: DescriptorShape | undefined;
  /** All of it, if it was proved. */
  readonly layout: BlockLayout | undefined;
  /** Why there is no layout. */
  readonly missing: string | undefined;
  readonly evidence: Evidence;
}

interface Evidence {
  readonly arrays: number;
  readonly descriptors: number;
  /** Descriptors that were compared with their frames. */
  readonly sampled: number;
  /** Of those, the ones of pages of plain tablespaces with a valid checksum, and without. */
  readonly clean: number;
  readonly changed: number;
  /** Of those, the ones whose frame names no page, or another than their own. */
  readonly others: number;
  /** Descriptors that say they are dirty, and of those that were looked at the ones whose file has the page as it is. */
  readonly saidDirty: number;
  readonly saidDirtyLookedAt: number;
  readonly saidDirtyStored: number;
  /** Changed pages among the sampled that say they are clean. */
  readonly saidCleanChanged: number;
}

type DirtyEvidence = Pick<
  Evidence,
  'saidDirty' | 'saidDirtyLookedAt' | 'saidDirtyStored' | 'saidCleanChanged'
>;

interface Sample {
  /** Two strides of words around the frame's address, which is the one in the middle. */
  readonly words: Uint32Array;
  readonly page: number;
  readonly space: number;
  /** A page of a known tablespace, equal to its file or not; a frame that was never used; or anything else. */
  readonly kind: 'clean' | 'changed' | 'empty' | 'other';
}

/** Descriptors compared with their frames: reading and summing these is most of what a calibration takes. */
const maxSamples = 1536;
/** Fewer frames with a page's header prove nothing. */
const minPages = 32;
/** As few pages with a valid checksum, or that say they are dirty and differ from their file. */
const minClean = 8;
const minDirty = 8;
const maxDirtyLookedAt = 64;
/** Pages that differ from their file and do not say so, as one that is just being changed. */
const maxMissed = 0.1;
/** Some pages share an LSN, as those that one mini-transaction changed; a counter or a state has few values for all pages. */
const minDistinct = 0.25;
const maxFreedLookedAt = 64;
/** Fewer descriptors without a page need nothing to tell them by. */
const minOthers = 3;
/** An enumeration, with bits for what is being done to a page. */
const maxStates = 8;
/** Some of them are just getting a page. */
const maxOthersTaken = 0.02;
/** The most that a log can have grown since the newest page was written: addresses lie above it, mostly. */
const maxLogBytes = 2 ** 40;
/** MySQL's and MariaDB's logs begin behind 8 KiB; MariaDB's pages of temporary tablespaces have 2. */
const firstLsn = 8192;

/** What is known of the tablespaces from their files. */
export interface Tablespaces {
  /** Whether a tablespace is known and holds its pages as they are in memory. */
  readonly isPlain: (spaceId: number) => boolean;
  /** Whether its file has the page with these bytes; undefined when it cannot be read. */
  readonly isStored: (spaceId: number, page: number, frame: Uint8Array) => boolean | undefined;
}

export function calibrate(
  memory: Memory,
  areas: readonly Mapping[],
  pageSize: number,
  tablespaces: Tablespaces,
): Calibration {
  let best: Calibration | undefined;
  for (const shape of findShapes(memory, areas, pageSize)) {
    const found = new ShapeCalibration(memory, areas, pageSize, tablespaces, shape).run();
    if (found.layout !== undefined) return found;
    if (best?.shape === undefined) best = found;
  }
  return best ?? { shape: undefined, layout: undefined, missing: 'no array of descriptors', evidence: none };
}

const none: Evidence = {
  ...{ arrays: 0, descriptors: 0, sampled: 0, clean: 0, changed: 0, others: 0 },
  ...{ saidDirty: 0, saidDirtyLookedAt: 0, saidDirtyStored: 0, saidCleanChanged: 0 },
};

/** Offsets in it are words from the frame's address on, and may be negative. */
class ShapeCalibration {
  private readonly memory: Memory;
  private readonly areas: readonly Mapping[];
  private readonly pageSize: number;
  private readonly tablespaces: Tablespaces;
  private readonly shape: DescriptorShape;
  private readonly stride: number;
  private readonly frame: Uint8Array;
  private newestLsn = 0;

  constructor(
    memory: Memory,
    areas: readonly Mapping[],
    pageSize: number,
    tablespaces: Tablespaces,
    shape: DescriptorShape,
  ) {
    this.memory = memory;
    this.areas = areas;
    this.pageSize = pageSize;
    this.tablespaces = tablespaces;
    this.shape = shape;
    this.stride = shape.strideBytes / 4;
    this.frame = new Uint8Array(pageSize);
  }

  run(): Calibration {
    const { stride } = this;
    const arrays = findArrays(this.memory, this.areas, this.shape, this.pageSize);
    const descriptors = arrays.reduce((sum, { count }) => sum + count, 0);
    const samples = this.takeSamples(arrays, descriptors);
    const clean = samples.filter(({ kind }) => kind === 'clean');
    const evidence = {
      ...none,
      arrays: arrays.length,
      descriptors,
      sampled: samples.length,
      clean: clean.length,
    };
    const without = (missing: string, shape?: DescriptorShape): Calibration => ({
      ...{ shape, layout: undefined, missing, evidence },
    });
    const frames = samples.filter(({ kind }) => kind === 'clean' || kind === 'changed');
    if (frames.length < minPages) return without(`${frames.length} frames with a page of a known tablespace`);
    const page = this.fieldOf(frames, ({ page }) => page, 0);
    const space = page === undefined ? undefined : this.fieldOf(frames, ({ space }) => space, page);
    if (page === undefined || space === undefined)
      return without('no field with the page number and none with the tablespace');
    const says = ({ words, ...sample }: Sample): boolean =>
      words[stride + page] === sample.page && words[stride + space] === sample.space;
    const named = samples.filter(says);
    const pages = named.filter(({ kind }) => kind === 'clean');
    const changed = named.filter(({ kind }) => kind === 'changed');
    const freed = this.freed(arrays, space);
    // Read ahead of what was ever written, a page has an empty frame, too: its descriptor is one of a page. The one of no page says 0 or all ones.
    const saysAnyPage = ({ words }: Sample): boolean =>
      this.tablespaces.isPlain(words[stride + space] ?? 0) &&
      (words[stride + page] !== 0 || words[stride + space] !== 0);
    const others = [...samples, ...freed].filter(
      (sample) =>
        (sample.kind === 'empty' || (sample.kind === 'other' && !says(sample))) && !saysAnyPage(sample),
    );
    const counts = { ...evidence, clean: pages.length, changed: changed.length, others: others.length };
    // The id is the first member of buf_page_t, and that the first of buf_block_t: a descriptor begins with it.
    const first = Math.min(page, space);
    if (first > 0) return without('no page number before the frame');
    const shape = { strideBytes: this.shape.strideBytes, frameOffset: -first * 4 };
    const fields = this.words().filter((word) => word > Math.max(page, space) && word < first + stride);
    if (pages.length < minClean)
      return { ...without('too few pages with a valid checksum', shape), evidence: counts };
    const dirty = this.dirtyField(arrays, fields, pages, changed, space);
    if (dirty === undefined)
      return { ...without('no dirty page was seen in a field that says so', shape), evidence: counts };
    const proved = { ...counts, ...dirty.evidence };
    const state = this.stateField(fields, pages, others);
    if (state === undefined) return { ...without('no field with the state', shape), evidence: proved };
    const layout: BlockLayout = {
      ...shape,
      pageOffset: (page - first) * 4,
      spaceOffset: (space - first) * 4,
      modifiedOffset: (dirty.word - first) * 4,
      cleanUpTo: 1,
      state: { ...state.field, offset: (state.word - first) * 4 },
    };
    return { shape: layout, layout, missing: undefined, evidence: proved };
  }

  /** Descriptors all over the arrays, without the first and last of each, whose neighbours may be anything. */
  private takeSamples(arrays: readonly DescriptorArray[], descriptors: number): Sample[] {
    const step = Math.max(1, Math.floor(descriptors / maxSamples));
    const samples: Sample[] = [];
    for (const { start, firstFrame, count } of arrays)
      for (let index = 1; index < count - 1; index += step) {
        const sample = this.look(start + index * this.shape.strideBytes, firstFrame + index * this.pageSize);
        if (sample !== undefined) samples.push(sample);
      }
    return samples;
  }

  /**
   * @param asksFile whether a page with a valid checksum is changed all the same if its file has another
   * @returns undefined when the descriptor changed meanwhile
   */
  private look(descriptor: number, frameAddress: number, asksFile = false): Sample | undefined {
    const from = descriptor - this.shape.strideBytes;
    const words = new Uint32Array(2 * this.stride);
    const after = new Uint32Array(2 * this.stride);
    const { frame } = this;
    this.memory.read(from, bytesOf(words));
    const bytes = this.memory.read(frameAddress, frame);
    this.memory.read(from, bytesOf(after));
    if (bytes < this.pageSize || words.some((word, index) => word !== after[index])) return undefined;
    const page = readU32(frame, pageNumberOffset);
    const space = readU32(frame, spaceIdOffset);
    if (page === 0 && space === 0 && lsnOf(frame, 0) === 0) return { words, page, space, kind: 'empty' };
    if (!this.tablespaces.isPlain(space)) return { words, page, space, kind: 'other' };
    const isValid = hasValidChecksum(frame, 0, this.pageSize);
    if (isValid) this.newestLsn = Math.max(this.newestLsn, lsnOf(frame, 0));
    const isClean = isValid && (!asksFile || this.tablespaces.isStored(space, page, frame) !== false);
    return { words, page, space, kind: isClean ? 'clean' : 'changed' };
  }

  /** Descriptors that held a page before: they say all ones. */
  private freed(arrays: readonly DescriptorArray[], space: number): Sample[] {
    const places: [number, number][] = [];
    this.forEachDescriptor(arrays, (words, at, place) => {
      if (words[at + space] === 0xffff_ffff && places.length < maxFreedLookedAt) places.push(place());
    });
    return places.flatMap(([descriptor, frame]) => this.look(descriptor, frame) ?? []);
  }

  /** @param visit gets words, where in them the frame's address is, and the addresses of descriptor and frame */
  private forEachDescriptor(
    arrays: readonly DescriptorArray[],
    visit: (words: Uint32Array, at: number, place: () => [descriptor: number, frame: number]) => void,
  ): void {
    const { stride, pageSize, shape } = this;
    const windowDescriptors = 2048;
    const words = new Uint32Array((windowDescriptors + 1) * stride);
    for (const { start, firstFrame, count } of arrays) {
      // With the one before them, as words of theirs lie before their frame's address: so the first has no turn.
      for (let first = 1; first < count; first += windowDescriptors) {
        const bytes = this.memory.read(start + (first - 1) * shape.strideBytes, bytesOf(words));
        const read = Math.min(windowDescriptors, count - first, Math.floor(bytes / shape.strideBytes) - 1);
        for (let index = 0; index < read; index++)
          visit(words, (index + 1) * stride, () => [
            start + (first + index) * shape.strideBytes,
            firstFrame + (first + index) * pageSize,
          ]);
      }
    }
  }

  /** The word that nearly all samples have with this value, the nearest to `near` of several. */
  private fieldOf(
    samples: readonly Sample[],
    valueOf: (sample: Sample) => number,
    near: number,
  ): number | undefined {
    // What all have the same proves nothing.
    if (new Set(samples.map(valueOf)).size < 2) return undefined;
    const agreeing = this.words().filter((word) => {
      const agree = samples.filter((sample) => sample.words[this.stride + word] === valueOf(sample)).length;
      return agree >= 0.97 * samples.length;
    });
    return agreeing.sort((a, b) => Math.abs(a - near) - Math.abs(b - near))[0];
  }

  /** All words that can be of the same descriptor as the frame's address. */
  private words(): number[] {
    const all = Array.from({ length: 2 * this.stride - 1 }, (_, index) => index + 1 - this.stride);
    return all.filter((word) => word !== 0 && word !== 1);
  }

  private isLsn(value: number): boolean {
    return value >= firstLsn && value <= this.newestLsn + maxLogBytes;
  }

  /**
   * oldest_modification: up to 1 in nearly all pages with a valid checksum, and an LSN in those that differ from their file, of
   * which enough are found by it. A page that is being written is dirty still, and its file may have it already; one that is just
   * being changed is not dirty yet.
   */
  private dirtyField(
    arrays: readonly DescriptorArray[],
    fields: readonly number[],
    clean: readonly Sample[],
    changed: readonly Sample[],
    space: number,
  ): { word: number; evidence: DirtyEvidence } | undefined {
    const lsnIn = ({ words }: Sample, word: number): number => u64(words, this.stride + word);
    const isLsnIn = (word: number) => (sample: Sample) => this.isLsn(lsnIn(sample, word));
    const missed = (word: number, differing: readonly Sample[]): number =>
      differing.length - differing.filter(isLsnIn(word)).length;
    const misses = (word: number, differing: readonly Sample[]): boolean =>
      differing.length >= minDirty && missed(word, differing) > maxMissed * differing.length;
    const candidates = fields.filter((word) => {
      if (word % 2 !== 0) return false;
      const isQuiet = clean.filter((sample) => lsnIn(sample, word) <= 1).length >= 0.8 * clean.length;
      return isQuiet && !misses(word, changed);
    });
    const said = [...this.saidDirty(arrays, candidates, space)].flatMap(([word, { count, places }]) => {
      if (count < minDirty) return [];
      const looks = places
        .flatMap(([descriptor, frame]) => this.look(descriptor, frame, true) ?? [])
        .filter(isLsnIn(word));
      const values = looks.map((sample) => lsnIn(sample, word));
      if (new Set(values).size < minDistinct * looks.length) return [];
      const mean = values.reduce((sum, value) => sum + value / values.length, 0);
      return [{ word, count, mean, looks, differing: looks.filter(({ kind }) => kind === 'changed') }];
    });
    const differing = [...changed, ...said.flatMap((field) => field.differing)];
    const proved = said
      .filter((field) => field.differing.length >= minDirty && !misses(field.word, differing))
      .map((field) => ({ ...field, missed: missed(field.word, differing) }));
    // Other fields hold times or LSNs, too: in pages that were asked for or changed since they were read, written or not, which
    // are more. newest_modification may be in the same pages, and is never the older one.
    proved.sort((a, b) => a.missed - b.missed || a.count - b.count || a.mean - b.mean);
    const [found] = proved;
    if (found === undefined) return undefined;
    const { word, count, looks } = found;
    const evidence = {
      saidDirty: count,
      saidDirtyLookedAt: looks.length,
      saidDirtyStored: looks.length - found.differing.length,
      saidCleanChanged: changed.filter((sample) => !isLsnIn(word)(sample)).length,
    };
    return { word, evidence };
  }

  /**
   * Descriptors of pages of known tablespaces that have an LSN in a word: how many, and where some of them are, from all over the
   * arrays, since pages that are written together lie together.
   */
  private saidDirty(
    arrays: readonly DescriptorArray[],
    candidates: readonly number[],
    space: number,
  ): Map<number, { count: number; places: readonly [descriptor: number, frame: number][] }> {
    const said = new Map(
      candidates.map((word) => [word, { count: 0, places: [] as [number, number][], step: 1 }]),
    );
    this.forEachDescriptor(arrays, (words, at, place) => {
      if (!this.tablespaces.isPlain(words[at + space] ?? 0)) return;
      for (const [word, found] of said) {
        if (!this.isLsn(u64(words, at + word))) continue;
        if (found.count++ % found.step !== 0) continue;
        found.places.push(place());
        if (found.places.length <= maxDirtyLookedAt) continue;
        found.places = found.places.filter((_, index) => index % 2 === 0);
        found.step *= 2;
      }
    });
    return said;
  }

  /**
   * The word that tells descriptors of pages from others: of those with few values the first, since others only tell whether there
   * ever was a page. A pool without others has none to tell.
   */
  private stateField(
    fields: readonly number[],
    pages: readonly Sample[],
    others: readonly Sample[],
  ): { word: number; field: Omit<StateField, 'offset'> } | undefined {
    if (others.length < minOthers) return { word: fields[0] ?? 0, field: { mask: 0, first: 0, last: 0 } };
    for (const word of fields) {
      const values = (samples: readonly Sample[]): number[] =>
        samples.map(({ words }) => words[this.stride + word] ?? 0);
      const [ofPages, ofOthers] = [values(pages), values(others)];
      const isFew = [ofPages, ofOthers].every((some) => new Set(some).size <= maxStates);
      const field =
        isFew && !areAddresses([...ofPages, ...ofOthers]) ? separate(ofPages, ofOthers) : undefined;
      if (field !== undefined) return { word, field };
    }
    return undefined;
  }
}

/** Upper halves of addresses, as those of neighbours in a list: another process has others. */
function areAddresses(values: readonly number[]): boolean {
  return values.some((value) => value >= 0x5500 && value <= 0x7fff);
}

/**
 * Which values of a field nearly all of the pages have and nearly none of the others: those with the bits that are the same
 * in all pages, as far as others differ in them; or a range, from one power of two to another.
 */
export function separate(
  pages: readonly number[],
  others: readonly number[],
): Omit<StateField, 'offset'> | undefined {
  const isIn = ({ mask, first, last }: Omit<StateField, 'offset'>, value: number): boolean => {
    const masked = (value & mask) >>> 0;
    return masked >= first && masked <= last;
  };
  const [value = 0] = pages;
  const same = ~pages.reduce((bits, page) => bits | (page ^ value), 0);
  const mask = (same & others.reduce((bits, other) => bits | (other ^ value), 0)) >>> 0;
  const bits = (value & mask) >>> 0;
  const lowest = pages.reduce((least, page) => Math.min(least, page), Infinity);
  const highest = pages.reduce((most, page) => Math.max(most, page), 0);
  const range = {
    mask: 0xffff_ffff,
    first: lowest === 0 ? 0 : 2 ** Math.floor(Math.log2(lowest)),
    last: 2 ** Math.ceil(Math.log2(highest + 1)) - 1,
  };
  return [{ mask, first: bits, last: bits }, range].find(
    (field) =>
      pages.every((page) => isIn(field, page)) &&
      others.filter((other) => isIn(field, other)).length <= maxOthersTaken * others.length,
  );
}
