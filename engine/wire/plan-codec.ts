/**
 * A part of the restore plan, and the pages that the destination asks for. Integers are big-endian.
 *
 *     plan:  RAM block u16, source u16, runs u32, then for each run: storage block u32, page u32, count u32,
 *            then for each page, in the order of the runs: low and high half of its hash, u32 each
 *     ask:   for each page: RAM block u16, 0 u16, page u32
 */
import { CodedError } from '../../foundation/coded-error.ts';

/** Pages of one part at most, so that it stays within its frame: in the worst case each page is a run of its own. */
export const maxPlanPages = 8192;

const planHeaderBytes = 8;
const runBytes = 12;
const hashBytes = 8;
const askBytes = 8;

/** Pages of one source and one RAM block, in the list's order. */
export interface PlanPart {
  readonly blockIndex: number;
  readonly sourceIndex: number;
  /** Triples: storage block, page, count. */
  readonly runs: Uint32Array;
  /** Low and high half of each page's hash. */
  readonly hashes: Uint32Array;
  readonly pageCount: number;
}

/** Length of `encodePlanPart`. */
export function planPartBytes({ runs, pageCount }: PlanPart): number {
  return planHeaderBytes + (runs.length / 3) * runBytes + pageCount * hashBytes;
}

export function encodePlanPart(part: PlanPart): Buffer {
  const runCount = part.runs.length / 3;
  const bytes = Buffer.allocUnsafe(planPartBytes(part));
  bytes.writeUInt16BE(part.blockIndex, 0);
  bytes.writeUInt16BE(part.sourceIndex, 2);
  bytes.writeUInt32BE(runCount, 4);
  let at = planHeaderBytes;
  for (const value of part.runs) at = bytes.writeUInt32BE(value, at);
  for (const value of part.hashes.subarray(0, 2 * part.pageCount)) at = bytes.writeUInt32BE(value, at);
  return bytes;
}

/** @throws CodedError 'wire', 'malformed' if the parts do not fit together; whether pages and blocks exist is not checked here */
export function decodePlanPart(bytes: Buffer): PlanPart {
  if (bytes.length < planHeaderBytes) throw malformed('it has no header');
  const runCount = bytes.readUInt32BE(4);
  const hashesAt = planHeaderBytes + runCount * runBytes;
  if (runCount > maxPlanPages || bytes.length < hashesAt) throw malformed(`it cannot hold ${runCount} runs`);
  const runs = new Uint32Array(runCount * 3);
  for (let i = 0; i < runs.length; i++) runs[i] = bytes.readUInt32BE(planHeaderBytes + 4 * i);
  let pageCount = 0;
  for (let i = 2; i < runs.length; i += 3) {
    const count = runs[i] ?? 0;
    if (count === 0 || count > maxPlanPages) throw malformed(`a run of ${count} pages`);
    pageCount += count;
  }
  if (pageCount > maxPlanPages || bytes.length !== hashesAt + pageCount * hashBytes) {
    throw malformed(`${bytes.length} bytes for ${pageCount} pages`);
  }
  const hashes = new Uint32Array(2 * pageCount);
  for (let i = 0; i < hashes.length; i++) hashes[i] = bytes.readUInt32BE(hashesAt + 4 * i);
  return {
    blockIndex: bytes.readUInt16BE(0),
    sourceIndex: bytes.readUInt16BE(2),
    runs,
    hashes,
    pageCount,
  };
}

/** A page of guest memory. */
export interface PageName {
  readonly blockIndex: number;
  readonly pageIndex: number;
}

/** Most pages of one `ask`. */
export const maxAskedPages = 16_384;

export function encodeAsk(pages: readonly PageName[]): Buffer {
  const bytes = Buffer.alloc(pages.length * askBytes);
  pages.forEach(({ blockIndex, pageIndex }, index) => {
    bytes.writeUInt16BE(blockIndex, index * askBytes);
    bytes.writeUInt32BE(pageIndex, index * askBytes + 4);
  });
  return bytes;
}

/** @throws CodedError 'wire', 'malformed' */
export function decodeAsk(bytes: Buffer): PageName[] {
  if (bytes.length % askBytes !== 0 || bytes.length > maxAskedPages * askBytes)
    throw malformed(`an ask of ${bytes.length} bytes`);
  const pages: PageName[] = [];
  for (let at = 0; at < bytes.length; at += askBytes) {
    pages.push({ blockIndex: bytes.readUInt16BE(at), pageIndex: bytes.readUInt32BE(at + 4) });
  }
  return pages;
}

function malformed(detail: string): CodedError<'wire'> {
  return new CodedError('wire', 'malformed', `a part of the plan cannot be read: ${detail}`);
}
