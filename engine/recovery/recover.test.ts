/** Recoveries from storage, over real sockets and files, of a target that is played. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { EngineEvent } from '../core/engine-event.ts';
import type { EngineOutcome } from '../core/engine-options.ts';
import { ListedStorage } from '../destination/listed-storage.ts';
import { StorageRest } from '../destination/storage-rest.ts';
import { PageHasher, randomHashKey } from '../list/content-hash.ts';
import { returnPathMessage } from '../stream/records.ts';
import { encodePageRequest } from '../stream/return-path.ts';
import type { StorageReader } from '../storage/storage-reader.ts';
import type { PlanPart } from '../wire/plan-codec.ts';
import { recover } from './recover.ts';
import { blocksOf, PlayedTarget, ramSectionId } from './played-target.fixture.ts';

/** Storage has the pages of the first RAM block the other way round: page n is its block `pages - 1 - n`. */
const pages = 600;
const others = 5;
const contentOf = (block: number, page: number): Buffer =>
  Buffer.alloc(4096, block === 0 && page % 7 !== 0 ? `page ${page} ` : 0);

interface Course {
  /** Pages of the first block that the target has; of the second all. */
  readonly has?: readonly number[];
  readonly secondHas?: readonly number[];
  /** Pages that the file does not name. */
  readonly unnamed?: readonly number[];
  /** Pages of which storage has other content. */
  readonly changed?: readonly number[];
  /** What its VM waits for, told before it acknowledges. */
  readonly wants?: number;
  /** Blocks that storage has. */
  readonly storageBlocks?: number;
}

interface Recovered {
  readonly outcome: EngineOutcome;
  readonly events: readonly EngineEvent[];
  readonly target: PlayedTarget;
  /** Blocks at which reads of storage began, in order. */
  readonly reads: readonly number[];
}

async function recovered(t: ExecutionContext, course: Course): Promise<Recovered> {
  t.timeout(60_000);
  const { has = [], secondHas = [0, 1, 2, 3, 4], unnamed = [], changed = [], wants } = course;
  const folder = mkdtempSync(path.join(os.tmpdir(), 'poolshift-recover-'));
  const [disk, targetPath] = ['disk', 'socket'].map((name) => path.join(folder, name)) as [string, string];
  const blocks = blocksOf([pages, others]);
  const onStorage = Array.from({ length: pages }, (_, page) =>
    changed.includes(page) ? Buffer.alloc(4096, 'newer') : contentOf(0, page),
  ).reverse();
  writeFileSync(disk, Buffer.concat(onStorage.slice(0, course.storageBlocks)));
  const key = randomHashKey();
  const hasher = new PageHasher(key);
  const named = Array.from({ length: pages }, (_, at) => pages - 1 - at).filter(
    (page) => !unnamed.includes(page),
  );
  const hashes = new Uint32Array(2 * named.length);
  named.forEach((page, at) => {
    hasher.hashPage(contentOf(0, page), 0, hashes, 2 * at);
  });
  const part: PlanPart = {
    ...{ blockIndex: 0, sourceIndex: 0, hashes, pageCount: named.length },
    runs: Uint32Array.from(named.flatMap((page) => [pages - 1 - page, page, 1])),
  };
  const target = new PlayedTarget(blocks, [new Set(has), new Set(secondHas)], contentOf);
  const failed = Promise.withResolvers<never>();
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => {
      try {
        target.take(bytes);
      } catch (error) {
        failed.reject(error);
      }
      for (const answer of target.answers.splice(0)) {
        if (wants !== undefined && answer.readUInt16BE(0) === returnPathMessage.resumeAck)
          socket.write(encodePageRequest({ blockName: 'block0', pageIndex: wants, pageCount: 1 }));
        socket.write(answer);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(targetPath, resolve));
  const events: EngineEvent[] = [];
  const storage = new ListedStorage([{ name: undefined, location: disk }], 60_000, (event) =>
    events.push(event),
  );
  const reads: number[] = [];
  const noted = (reader: StorageReader | undefined): StorageReader | undefined =>
    reader && {
      sizeBytes: reader.sizeBytes,
      read: (into, offsetBytes) => {
        reads.push(offsetBytes / 4096);
        return reader.read(into, offsetBytes);
      },
      close: () => reader.close(),
    };
  try {
    await storage.open({ sources: [{ kind: 'disk', disk: 'vda' }], hashKey: key.toString('hex') });
    const outcome = await Promise.race([
      failed.promise,
      recover({
        left: new StorageRest(
          { ramSectionId, blocks, parts: [part] },
          {
            reader: (source) => noted(storage.reader(source)),
            hash: storage.hash,
            readFailed: (error) => {
              storage.readFailed(error);
            },
          },
        ),
        ...{ targetPath, stallMs: 60_000 },
        onEvent: (event) => events.push(event),
      }),
    ]);
    // What was given is read to its end.
    await new Promise((resolve) => server.close(resolve));
    return { outcome, events, target, reads };
  } finally {
    server.close();
    storage.close();
    rmSync(folder, { recursive: true });
  }
}

test('what is missing comes from storage, each page once', async (t) => {
  const has = Array.from({ length: pages }, (_, page) => page).filter((page) => page % 3 === 0);
  const { outcome, events, target } = await recovered(t, { has });
  t.is(outcome.result, 'migrated');
  t.is(target.missing, 0);
  t.true(target.ended);
  t.deepEqual(
    events.find(({ event }) => event === 'recovering'),
    { event: 'recovering', pages_pending: pages - has.length },
  );
  t.like(events.at(-1), { event: 'done', pages_pending: 0, pages_restored: pages - has.length });
});

test('a target that misses nothing is told the end', async (t) => {
  const { outcome, target } = await recovered(t, { has: Array.from({ length: pages }, (_, page) => page) });
  t.is(outcome.result, 'migrated');
  t.true(target.ended);
});

test('what the VM waits for comes before the rest, with the other pages of its 16 KiB', async (t) => {
  const { outcome, reads } = await recovered(t, { wants: 201 });
  t.is(outcome.result, 'migrated');
  t.deepEqual(
    reads.slice(0, 4),
    [200, 201, 202, 203].map((page) => pages - 1 - page),
  );
});

test('what storage has not as it was, or was not to have, stays missing: all else comes, and it says how many', async (t) => {
  const { outcome, events, target } = await recovered(t, {
    ...{ changed: [8, 9, 450], unnamed: [100], secondHas: [0, 1, 2] },
  });
  t.is(outcome.result, 'incomplete');
  const said = events.at(-1);
  t.regex(
    said?.event === 'incomplete' ? said.reason : '',
    /^6 pages are missing still.* other content of 3, 0 could not be read, and where 3 lie is not known/,
  );
  t.is(target.missing, 6);
  t.false(target.ended);
});

test('storage that is shorter than it was is refused before the target goes on', async (t) => {
  const { outcome, events, target } = await recovered(t, { storageBlocks: 10 });
  t.is(outcome.result, 'failed');
  t.like(events.at(-1), { event: 'failed', code: 'file' });
  t.deepEqual(target.got, []);
});
