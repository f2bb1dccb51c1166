/**
 * The page list as bytes. Made in the guest, read on the host, so decoding trusts nothing: every length is capped before
 * anything is allocated by it, and whatever is wrong ends in a CodedError 'page-list'.
 *
 *     offset  size  field (integers little-endian)
 *          0     4  magic "PSPL"
 *          4     4  version
 *          8     4  bytes of metadata
 *         12     4  number of runs
 *         16     4  bytes of the columns before compression
 *         20     4  bytes of the compressed columns
 *         24        metadata: JSON
 *                   columns: zlib
 *
 * The columns are LEB128 varints, one column after the other: the hot runs of each source, in storage order, then its cold runs.
 * All of them count from the end of the run before (block 0 at the start of a source and of its cold runs, frame 0 at the start of
 * the list): pages that lie side by side on the disk and in memory then give runs of equal bytes, which deflate reduces to almost nothing.
 *  1. storage block, zigzag; 2. count - 1; 3. guest frame, zigzag.
 *
 * Version 2 has cold runs. A list without any is of version 1, which older hosts read, too.
 */
import { totalmem } from 'node:os';
import { setImmediate as otherEvents } from 'node:timers/promises';
import { promisify } from 'node:util';
import { deflateSync, inflate, inflateSync, type ZlibOptions } from 'node:zlib';
import { CodedError } from '../../foundation/coded-error.ts';
import { blockNumbers, maxRunBytes, minRunBytes, PackedRuns } from './packed-runs.ts';
import { malformed, pageSizeBytes, type PageList, type PageRuns, type PageSource } from './page-list.ts';
import {
  listLimits,
  type PageListMetadata,
  type ParsedMetadata,
  parseMetadata,
} from './page-list-metadata.ts';

const magic = Buffer.from('PSPL', 'latin1');
/** By whether a list has cold runs. */
const versions = { without: 1, with: 2 } as const;
const headerBytes = 24;
/** Five bytes for each run of four pages of 1 TiB take 340 MB. */
const maxColumnBytes = 512 * 1024 * 1024;

/** A list as it was decoded: its runs stay packed. */
export type PackedPageList = Omit<PageList, 'runs'> & { readonly runs: PackedRuns };

export interface DecodeLimits {
  /**
   * Most pages a list may name. Default: as many as this host's memory has, for a VM has no more, and 2^28 (1 TiB) at most.
   * Memory and time that a list takes follow from it: 13 bytes of columns for each page at most.
   */
  readonly maxPages?: number;
}

/**
 * Encodes a list. `timings.encodeMs` is replaced by the time that encoding takes here.
 * @throws CodedError 'page-list', 'unsorted' when the runs are not in storage order or a run is empty or out of range.
 */
export function encodePageList(list: PageList, nowMs: () => number = () => performance.now()): Buffer {
  const startMs = nowMs();
  const { hotRuns, coldRuns } = countRunsBySource(list);
  const raw = encodeColumns(list.runs);
  // Level 1: higher levels save a few per cent and cost several times the guest's CPU.
  const body = deflateSync(raw, { level: 1 });
  const metadata: PageListMetadata = {
    sources: list.sources.map((source, index) => ({
      ...source,
      runs: hotRuns[index] ?? 0,
      coldRuns: coldRuns[index] ?? 0,
    })),
    guestRam: list.guestRam,
    timings: { ...list.timings, encodeMs: nowMs() - startMs },
    server: list.server,
    leftOut: list.leftOut,
    failures: list.failures,
    ...heatOf(list),
  };
  const text = Buffer.from(JSON.stringify(metadata), 'utf8');
  const header = Buffer.alloc(headerBytes);
  magic.copy(header);
  header.writeUInt32LE(coldRuns.some((runs) => runs > 0) ? versions.with : versions.without, 4);
  header.writeUInt32LE(text.length, 8);
  header.writeUInt32LE(list.runs.count.length, 12);
  header.writeUInt32LE(raw.length, 16);
  header.writeUInt32LE(body.length, 20);
  return Buffer.concat([header, text, body]);
}

/**
 * Decodes a list and checks all of it: sizes, order, ranges and the metadata's form. Whether the list is true is another
 * matter; see PageList.
 * @throws CodedError 'page-list'
 */
export function decodePageList(bytes: Buffer, limits: DecodeLimits = {}): PackedPageList {
  const opened = openList(bytes, limits);
  const { body, rawBytes } = opened;
  let raw: Buffer;
  try {
    raw = inflateSync(body, inflateOptions(rawBytes));
  } catch (cause) {
    throw malformed('its columns do not decompress', cause);
  }
  const checks = checkRuns(opened, raw);
  for (;;) {
    const { done, value } = checks.next();
    if (done === true) return assemble(opened.metadata, value);
  }
}

/** The same, in slices between which other events get their turn: heartbeats go on whatever the guest sends. */
export async function decodePageListInSlices(
  bytes: Buffer,
  limits: DecodeLimits = {},
): Promise<PackedPageList> {
  const opened = openList(bytes, limits);
  const { body, rawBytes } = opened;
  const raw = await promisify<Buffer, ZlibOptions, Buffer>(inflate)(body, inflateOptions(rawBytes)).catch(
    (cause: unknown) => {
      throw malformed('its columns do not decompress', cause);
    },
  );
  const checks = checkRuns(opened, raw);
  for (;;) {
    const { done, value } = checks.next();
    if (done === true) return assemble(opened.metadata, value);
    await otherEvents();
  }
}

interface OpenedList {
  readonly metadata: ParsedMetadata;
  readonly body: Buffer;
  readonly rawBytes: number;
  readonly runCount: number;
  readonly maxPages: number;
}

function openList(bytes: Buffer, limits: DecodeLimits): OpenedList {
  const maxPages = limits.maxPages ?? Math.min(2 ** 28, Math.ceil(totalmem() / pageSizeBytes));
  if (bytes.length < headerBytes) throw malformed(`${bytes.length} bytes are too few for a page list`);
  if (!bytes.subarray(0, 4).equals(magic)) throw malformed('it does not start with "PSPL"');
  const version = bytes.readUInt32LE(4);
  if (version !== versions.without && version !== versions.with) {
    throw new CodedError(
      'page-list',
      'unsupported-version',
      `page list version ${version}; only versions ${versions.without} and ${versions.with} are known`,
    );
  }
  const metadataBytes = bytes.readUInt32LE(8);
  const runCount = bytes.readUInt32LE(12);
  const rawBytes = bytes.readUInt32LE(16);
  const bodyBytes = bytes.readUInt32LE(20);
  if (metadataBytes > listLimits.metadataBytes)
    throw new CodedError('page-list', 'too-large', `${metadataBytes} bytes of metadata`);
  if (runCount > maxPages)
    throw new CodedError('page-list', 'too-large', `${runCount} runs; at most ${maxPages} pages are allowed`);
  if (rawBytes > maxColumnBytes)
    throw new CodedError('page-list', 'too-large', `${rawBytes} bytes of columns`);
  if (bytes.length !== headerBytes + metadataBytes + bodyBytes) {
    throw malformed(
      `it has ${bytes.length} bytes where its header says ${headerBytes + metadataBytes + bodyBytes}`,
    );
  }
  if (rawBytes < runCount * minRunBytes || rawBytes > runCount * maxRunBytes) {
    throw malformed(`${rawBytes} bytes of columns cannot hold ${runCount} runs`);
  }
  const metadata = parseMetadata(bytes.subarray(headerBytes, headerBytes + metadataBytes));
  if (version === versions.without && metadata.sources.some(({ coldRuns = 0 }) => coldRuns > 0))
    throw malformed(`it has cold runs, which version ${version} has not`);
  return { metadata, body: bytes.subarray(headerBytes + metadataBytes), rawBytes, runCount, maxPages };
}

/** In one piece, which need not be put together: what is not written to costs no memory. */
function inflateOptions(rawBytes: number): ZlibOptions {
  return { maxOutputLength: Math.max(rawBytes, 1), chunkSize: Math.max(rawBytes + 1, 64) };
}

function checkRuns(
  { metadata, rawBytes, runCount, maxPages }: OpenedList,
  raw: Buffer,
): Generator<undefined, PackedRuns> {
  if (raw.length !== rawBytes) throw malformed(`its columns have ${raw.length} bytes instead of ${rawBytes}`);
  return PackedRuns.check(
    raw,
    runCount,
    metadata.sources.map(({ runs }) => runs),
    metadata.sources.map(({ coldRuns = 0 }) => coldRuns),
    maxPages,
  );
}

function assemble(metadata: ParsedMetadata, runs: PackedRuns): PackedPageList {
  const sources = metadata.sources.map((entry): PageSource =>
    entry.kind === 'disk'
      ? { kind: 'disk', disk: entry.disk }
      : { kind: 'file', fileSystem: entry.fileSystem, path: entry.path },
  );
  return {
    sources,
    runs,
    pageCount: runs.pageCount,
    ...heatOf(metadata),
    guestRam: metadata.guestRam,
    timings: metadata.timings,
    server: metadata.server,
    leftOut: metadata.leftOut,
    failures: metadata.failures,
  };
}

const heatOf = ({ heatUnknown }: Pick<PageListMetadata, 'heatUnknown'>): Pick<PageList, 'heatUnknown'> =>
  heatUnknown === undefined ? {} : { heatUnknown };

interface RunsBySource {
  readonly hotRuns: Uint32Array;
  readonly coldRuns: Uint32Array;
}

function countRunsBySource({ sources, runs }: PageList): RunsBySource {
  const counts = { hotRuns: new Uint32Array(sources.length), coldRuns: new Uint32Array(sources.length) };
  const { sourceIndex, storageBlock, guestFrame, count, firstColdRun } = runs;
  const columns = [sourceIndex, storageBlock, guestFrame, count] as const;
  const wrongHot = countInOrder(0, firstColdRun, ...columns, counts.hotRuns);
  const wrong =
    wrongHot >= 0 ? wrongHot : countInOrder(firstColdRun, count.length, ...columns, counts.coldRuns);
  if (wrong >= 0)
    throw new CodedError(
      'page-list',
      'unsorted',
      `run ${wrong} of the page list is out of order or out of range`,
    );
  return counts;
}

// Loops over runs stand in functions that get numbers and typed arrays alone (docs/agent.md, V8's optimiser).

/** Counts those of the runs [from, to) of each source. Returns the first that is out of order or out of range, or -1. */
function countInOrder(
  from: number,
  to: number,
  sourceIndex: Uint16Array,
  storageBlock: Uint32Array,
  guestFrame: Uint32Array,
  count: Uint16Array,
  counts: Uint32Array,
): number {
  let source = 0;
  let block = 0;
  for (let run = from; run < to; run++) {
    const nextSource = sourceIndex[run] ?? 0;
    const nextBlock = storageBlock[run] ?? 0;
    const pages = count[run] ?? 0;
    if (
      nextSource < source ||
      (nextSource === source && nextBlock < block) ||
      nextSource >= counts.length ||
      pages === 0 ||
      nextBlock + pages > blockNumbers ||
      (guestFrame[run] ?? 0) + pages > blockNumbers
    )
      return run;
    source = nextSource;
    block = nextBlock;
    counts[source] = (counts[source] ?? 0) + 1;
  }
  return -1;
}

function encodeColumns({ sourceIndex, storageBlock, guestFrame, count, firstColdRun }: PageRuns): Buffer {
  // Untouched pages of this buffer cost no memory, so its worst-case size does not matter.
  const bytes = Buffer.allocUnsafeSlow(count.length * maxRunBytes);
  return bytes.subarray(0, writeColumns(bytes, sourceIndex, storageBlock, guestFrame, count, firstColdRun));
}

/** Returns how many bytes were written. */
function writeColumns(
  bytes: Uint8Array,
  sourceIndex: Uint16Array,
  storageBlock: Uint32Array,
  guestFrame: Uint32Array,
  count: Uint16Array,
  firstColdRun: number,
): number {
  const runs = count.length;
  let offset = 0;
  let source = -1;
  let expected = 0;
  for (let run = 0; run < runs; run++) {
    const nextSource = sourceIndex[run] ?? 0;
    if (nextSource !== source || run === firstColdRun) expected = 0;
    source = nextSource;
    const block = storageBlock[run] ?? 0;
    offset = writeVarint(bytes, offset, zigzag(block - expected));
    expected = block + (count[run] ?? 0);
  }
  for (let run = 0; run < runs; run++) offset = writeVarint(bytes, offset, (count[run] ?? 1) - 1);
  expected = 0;
  for (let run = 0; run < runs; run++) {
    const frame = guestFrame[run] ?? 0;
    offset = writeVarint(bytes, offset, zigzag(frame - expected));
    expected = frame + (count[run] ?? 0);
  }
  return offset;
}

function zigzag(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value;
}

/** Returns the offset after it. */
function writeVarint(bytes: Uint8Array, offset: number, value: number): number {
  let at = offset;
  let rest = value;
  while (rest >= 0x80) {
    bytes[at++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  bytes[at++] = rest;
  return at;
}
