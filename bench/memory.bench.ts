/**
 * Memory that the source engine needs for what it knows of each page, with VMs larger than this machine: a page list of
 * 83 % of the guest, InnoDB pages of 16 KiB in no order of memory, planned at the rate of one link while QEMU's first pass
 * goes at that of another, over which 17 % of the pages go. No VM, no sockets: guest memory is made up page by page. Each
 * size has a process of its own. `node bench/memory.bench.ts [--gib N]... [--json]`
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Option } from 'commander';
import { restartWithAllocatorSettings } from '../engine/cli/allocator.ts';
import { number } from '../engine/cli/arguments.ts';
import { PageHasher, randomHashKey } from '../engine/list/content-hash.ts';
import { decodePageList, encodePageList } from '../engine/list/page-list-codec.ts';
import { type PageList, pageSizeBytes } from '../engine/list/page-list.ts';
import { MappedMemory } from '../engine/core/mapped-memory.ts';
import type { GuestRam } from '../engine/core/outside.ts';
import { PageLedger } from '../engine/core/page-ledger.ts';
import { PlanBuilder } from '../engine/core/plan-builder.ts';
import { benchCommand } from './bench-command.ts';

const listedShare = 0.83;
const pagesPerRun = 4;
const planPages = 512;

interface Result {
  readonly vmGib: number;
  readonly listedPages: number;
  readonly listBytes: number;
  readonly peakHashBytes: number;
  readonly peakResidentBytes: number;
}

/** Storage in order, memory not: the frames of consecutive runs are far apart. */
function makeList(pageCount: number): PageList {
  const places = Math.floor(pageCount / pagesPerRun);
  const runs = Math.floor(places * listedShare);
  // A step that has no divisor in common with the number of places visits each once.
  let step = Math.floor(places * 0.618);
  while (greatestCommonDivisor(step, places) !== 1) step += 1;
  const guestFrame = new Uint32Array(runs);
  let place = 0;
  for (let run = 0; run < runs; run++) {
    guestFrame[run] = place * pagesPerRun;
    place = (place + step) % places;
  }
  return {
    sources: [{ kind: 'disk', disk: 'vda' }],
    runs: {
      firstColdRun: runs,
      sourceIndex: new Uint16Array(runs),
      storageBlock: Uint32Array.from({ length: runs }, (_, run) => run * pagesPerRun),
      guestFrame,
      count: new Uint16Array(runs).fill(pagesPerRun),
    },
    pageCount: runs * pagesPerRun,
    guestRam: [[0, pageCount - 1]],
    timings: { findMs: 0, translateMs: 0, mapMs: 0, encodeMs: 0 },
    leftOut: {},
    failures: [],
    server: {
      product: 'mariadb',
      version: '10.11',
      method: 'descriptors',
      cachedPages: runs,
      dirtyPages: 0,
      excludedPages: 0,
    },
  };
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/** Each page has its number as content. */
const syntheticRam: GuestRam = {
  read: (page, count, into, offset) => {
    for (let i = 0; i < count; i++) into.writeUInt32LE(page + i + 1, offset + i * pageSizeBytes);
  },
};

/** In a process of its own, whose peak is its memory. */
function measure(vmGib: number, listFile: string): Result {
  const pageCount = (vmGib * 2 ** 30) / pageSizeBytes;
  const bytes = readFileSync(listFile);
  const list = decodePageList(bytes, { maxPages: 2 ** 28 });
  const ledger = new PageLedger(pageCount, new PageHasher(randomHashKey()));
  const map = [{ firstFrame: 0, pages: pageCount, blockIndex: 0, firstPage: 0 }];
  const memory = new MappedMemory(map, [{ blockIndex: 0, ledger, ram: syntheticRam }]);
  const plan = new PlanBuilder(list, [list.pageCount], memory);
  while (plan.listNext(planPages)) continue;
  const page = Buffer.alloc(pageSizeBytes);
  let next = 0;
  let peakHashBytes = 0;
  while (plan.remainingPages > 0) {
    plan.planNext(planPages, () => undefined);
    for (let i = 0; i < planPages / (1 - listedShare) && next < pageCount; i++, next++) {
      syntheticRam.read(next, 1, page, 0);
      ledger.pageRecord(next, page, 0, true);
    }
    peakHashBytes = Math.max(peakHashBytes, ledger.hashBytes);
  }
  return {
    vmGib,
    listedPages: list.pageCount,
    listBytes: bytes.length,
    peakHashBytes,
    peakResidentBytes: process.resourceUsage().maxRSS * 1024,
  };
}

function main(): void {
  const values = benchCommand(import.meta.filename, "The source engine's memory for large VMs.")
    .option('--gib <n>', 'memory of the VM, once or more (default: 16, 64 and 128)', addSize)
    .addOption(new Option('--list-file <path>').hideHelp())
    .parse()
    .opts<{ readonly gib?: readonly number[]; readonly listFile?: string; readonly json?: true }>();
  const sizes = values.gib ?? [16, 64, 128];
  if (values.listFile !== undefined) {
    console.log(JSON.stringify(measure(sizes[0] ?? 0, values.listFile)));
    return;
  }
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-bench-'));
  try {
    for (const vmGib of sizes) {
      const listFile = path.join(folder, 'list');
      writeFileSync(listFile, encodePageList(makeList((vmGib * 2 ** 30) / pageSizeBytes)));
      const child = [import.meta.filename, '--gib', String(vmGib), '--list-file', listFile];
      const line = execFileSync(process.execPath, child, { encoding: 'utf8' });
      const result = JSON.parse(line) as Result;
      console.log(values.json === true ? line.trim() : describe(result));
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const addSize = (text: string, before: readonly number[] = []): readonly number[] => [
  ...before,
  number(0.0625, 4096)(text),
];

function describe(result: Result): string {
  const mega = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
  return (
    `${result.vmGib} GiB: ${result.listedPages} pages listed in ${mega(result.listBytes)}, hashes at most ` +
    `${mega(result.peakHashBytes)}, resident at most ${mega(result.peakResidentBytes)}`
  );
}

// As the engine does: it decides how much of what was freed stays resident.
restartWithAllocatorSettings();
main();
