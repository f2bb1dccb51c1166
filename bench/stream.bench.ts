/**
 * Throughput of the stream codec on one core: a synthetic stream, in memory in chunks as a socket gives them, and through a
 * unix socket from another process, as QEMU sends it.
 * `node bench/stream.bench.ts [--json]`
 */
import { spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { median } from 'simple-statistics';
import { PageHasher, randomHashKey } from '../engine/list/content-hash.ts';
import { pageSizeBytes } from '../engine/list/page-list.ts';
import type { StreamHandler } from '../engine/stream/handler.ts';
import { StreamInjector } from '../engine/stream/injector.ts';
import { StreamReader } from '../engine/stream/reader.ts';
import { ramFlag } from '../engine/stream/records.ts';
import { adopt, createPausedServer, ReadBuffer } from '../engine/wire/fast-socket.ts';
import { writePartHeader, writeRecordHeader, writeSectionTail } from '../engine/stream/writer.ts';
import { benchCommand } from './bench-command.ts';

const { json } = benchCommand(
  import.meta.filename,
  "The engine's filter over QEMU's stream: relay, leave out 70 % of the pages, hash them, inject others.",
)
  .parse()
  .opts<{ readonly json?: true }>();

const ramBytes = 256 << 20;
const pageCount = ramBytes / pageSizeBytes;
const sectionId = 2;
const repeats = 15;
const warmUpRounds = 3;
/** As much as the engines read from a socket at a time. */
const chunkBytes = 256 << 10;

interface Measurement {
  readonly name: string;
  readonly medianBytesPerSecond: number;
  readonly lowestBytesPerSecond: number;
  readonly highestBytesPerSecond: number;
  /** By the time that the process was running, which other load on the machine disturbs less. */
  readonly medianBytesPerCpuSecond: number;
}

/** Everything before the first page, as QEMU 10.0 writes it. */
function streamStart(): Buffer {
  const machine = 'pc-q35-10.0';
  const start = Buffer.alloc(128);
  let at = start.write('QEVM\0\0\0\x03\x07\0\0\0', 'latin1');
  at = start.writeUInt8(machine.length, at);
  at += start.write(machine, at, 'latin1');
  at += start.write('\x01\0\0\0\x02\x03ram\0\0\0\0\0\0\0\x04', at, 'latin1');
  at = start.writeUInt32BE(0, at);
  at = start.writeUInt32BE(ramBytes + ramFlag.memorySize, at);
  at += start.write('\x04ram0\0\0\0\0', at, 'latin1');
  at = start.writeUInt32BE(ramBytes, at);
  at = writeSectionTail(start, at, sectionId);
  return start.subarray(0, at);
}

/** One pass over all pages, none of them zero, in parts of 1024 pages. */
function streamOfPages(): Buffer {
  const stream = Buffer.allocUnsafeSlow(ramBytes + pageCount * 8 + (1 << 16));
  const content = randomFillSync(Buffer.allocUnsafeSlow(16 << 20));
  const name = Buffer.from('ram0');
  let at = streamStart().copy(stream);
  for (let page = 0; page < pageCount; page += 1) {
    if (page % 1024 === 0) at = writePartHeader(stream, at, sectionId);
    at = writeRecordHeader(stream, at, page, ramFlag.page, page === 0 ? name : undefined);
    const from = (page * pageSizeBytes) % content.length;
    at += content.copy(stream, at, from, from + pageSizeBytes);
    if (page % 1024 === 1023) at = writeSectionTail(stream, at, sectionId);
  }
  return stream.subarray(0, at);
}

/** Collects output in 1 MiB pieces, as a sender to a socket does. */
function collector(): (buffer: Buffer, start: number, end: number) => void {
  const piece = Buffer.allocUnsafeSlow(1 << 20);
  let used = 0;
  return (buffer, start, end) => {
    let at = start;
    while (at < end) {
      const copied = buffer.copy(piece, used, at, Math.min(end, at + piece.length - used));
      used += copied;
      at += copied;
      if (used === piece.length) used = 0;
    }
  };
}

const hashes = new Uint32Array(2);
const hasher = new PageHasher(randomHashKey());

/** Spread like cached database pages: 16 KiB at a time, seven of ten left out. */
function isLeftOut(pageIndex: number): boolean {
  return (Math.imul(pageIndex >>> 2, 0x9e3779b1) >>> 0) % 10 < 7;
}

type Subject = () => { push(chunk: Buffer): unknown };

const subjects = {
  relay: () => new StreamReader({}, collector()),
  'leave out 70 %': () => new StreamReader({ page: (_, page) => !isLeftOut(page) }, collector()),
  'leave out 70 %, hash those': () => new StreamReader(hashing(), collector()),
  'hash every page, keep all': () =>
    new StreamReader(
      {
        page: (_, __, buffer, offset) => {
          hasher.hashPage(buffer, offset, hashes, 0);
          return true;
        },
      },
      collector(),
    ),
  'relay and inject 70 % more': () => {
    const injector = new StreamInjector({}, collector());
    const page = Buffer.alloc(pageSizeBytes, 1);
    return {
      push: (chunk: Buffer) => {
        injector.push(chunk);
        for (let index = 0; index < 44 && injector.canInject; index += 1)
          injector.injectPage(0, index, page, 0);
      },
    };
  },
} satisfies Readonly<Record<string, Subject>>;

function hashing(): StreamHandler {
  return {
    page: (_, page, buffer, offset) => {
      if (!isLeftOut(page)) return true;
      hasher.hashPage(buffer, offset, hashes, 0);
      return false;
    },
  };
}

interface Round {
  readonly bytesPerSecond: number;
  readonly bytesPerCpuSecond: number;
}

/** Starts to measure; the result ends it. */
function stopwatch(bytes: number): () => Round {
  const cpuBefore = process.cpuUsage();
  const startNs = process.hrtime.bigint();
  return () => {
    const seconds = Number(process.hrtime.bigint() - startNs) / 1e9;
    const { user, system } = process.cpuUsage(cpuBefore);
    return { bytesPerSecond: bytes / seconds, bytesPerCpuSecond: bytes / ((user + system) / 1e6) };
  };
}

function inMemory(makeSubject: Subject, stream: Buffer): Round {
  const subject = makeSubject();
  const stop = stopwatch(stream.length);
  for (let at = 0; at < stream.length; at += chunkBytes) subject.push(stream.subarray(at, at + chunkBytes));
  return stop();
}

/** Sends a file to a unix socket in one go. */
const sender = `
  const bytes = require('node:fs').readFileSync(process.argv[1]);
  require('node:net').connect(process.argv[2]).end(bytes);
`;

async function throughSocket(makeSubject: Subject, stream: Buffer, folder: string): Promise<Round> {
  const subject = makeSubject();
  const socketPath = path.join(folder, 'socket');
  const round = Promise.withResolvers<Round>();
  const server = createPausedServer(true, (accepted) => {
    let stop: (() => Round) | undefined;
    let bytes = 0;
    const socket = adopt(accepted, new ReadBuffer(chunkBytes), (chunk) => {
      // From the first byte on: the sender reads its file before that.
      stop ??= stopwatch(stream.length);
      subject.push(chunk);
      bytes += chunk.length;
      if (bytes === stream.length) round.resolve(stop());
      return true;
    });
    socket.on('error', round.reject);
    socket.on('end', () => socket.destroy());
    socket.resume();
  }).listen(socketPath);
  await once(server, 'listening');
  const child = spawn(process.execPath, ['-e', sender, path.join(folder, 'stream'), socketPath]);
  const ended = once(child, 'close');
  const result = await round.promise;
  await ended;
  server.close();
  return result;
}

/** The first rounds, which compile, are left out. */
function summarise(name: string, allRounds: readonly Round[]): Measurement {
  const rounds = allRounds.slice(warmUpRounds);
  const rates = rounds.map((round) => round.bytesPerSecond);
  return {
    name,
    medianBytesPerSecond: median(rates),
    lowestBytesPerSecond: Math.min(...rates),
    highestBytesPerSecond: Math.max(...rates),
    medianBytesPerCpuSecond: median(rounds.map((round) => round.bytesPerCpuSecond)),
  };
}

const stream = streamOfPages();
const measurements: Measurement[] = [];
for (const [name, makeSubject] of Object.entries(subjects)) {
  const rounds = Array.from({ length: repeats + warmUpRounds }, () => inMemory(makeSubject, stream));
  measurements.push(summarise(name, rounds));
}
const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-bench-'));
try {
  writeFileSync(path.join(folder, 'stream'), stream);
  for (const name of ['leave out 70 %', 'leave out 70 %, hash those'] as const) {
    const rounds: Round[] = [];
    for (let index = 0; index < repeats + warmUpRounds; index += 1) {
      rounds.push(await throughSocket(subjects[name], stream, folder));
    }
    measurements.push(summarise(`${name}, from a socket`, rounds));
  }
} finally {
  rmSync(folder, { recursive: true });
}
if (json === true) {
  console.log(
    JSON.stringify({ bench: 'stream', streamBytes: stream.length, chunkBytes, repeats, measurements }),
  );
} else {
  const gigabytes = (rate: number): string => (rate / 1e9).toFixed(2).padStart(6);
  console.log(
    `stream codec, ${stream.length} bytes, ${repeats} rounds, GB/s: median (lowest to highest), by CPU time`,
  );
  for (const { name, ...rate } of measurements) {
    console.log(
      `  ${name.padEnd(42)}${gigabytes(rate.medianBytesPerSecond)}  (${gigabytes(rate.lowestBytesPerSecond)} to${gigabytes(rate.highestBytesPerSecond)})  ${gigabytes(rate.medianBytesPerCpuSecond)}`,
    );
  }
}
