import test from 'ava';
import { CodedError } from '../../foundation/coded-error.ts';
import type { PageName } from '../wire/plan-codec.ts';
import { RestorePlan } from '../core/restore-plan.ts';
import { limitedReader, type StorageReader } from '../storage/storage-reader.ts';
import { Restorer } from './restorer.ts';

const pagesPerSource = 40 * 256;

/** Storage of so many sources, of which those before `hangBefore` never answer. Settles when each page was restored or asked for. */
async function restore(sources: number, hangBefore: number) {
  const plan = new RestorePlan();
  const blockPages = sources * pagesPerSource;
  for (let sourceIndex = 0; sourceIndex < sources; sourceIndex++)
    for (let first = 0; first < pagesPerSource; first += 2048) {
      const pageCount = Math.min(2048, pagesPerSource - first);
      const runs = Uint32Array.of(first, sourceIndex * pagesPerSource + first, pageCount);
      const part = { blockIndex: 0, sourceIndex, runs, hashes: new Uint32Array(2 * pageCount), pageCount };
      plan.add(part, blockPages, pagesPerSource);
    }
  const reads: number[] = [];
  const readers = Array.from({ length: sources }, (_, index): StorageReader => {
    const reader: StorageReader = {
      sizeBytes: pagesPerSource * 4096,
      read: (into) => {
        reads.push(index);
        if (index < hangBefore) return new Promise(() => undefined);
        into.fill(0);
        return Promise.resolve();
      },
      close: () => Promise.resolve(),
    };
    return limitedReader(reader, 5);
  });
  const asked: PageName[] = [];
  const { promise: over, resolve, reject } = Promise.withResolvers<undefined>();
  let taken = 0;
  const restorer = new Restorer(
    plan,
    {
      reader: (index) => readers[index],
      // Every block is as it was listed.
      hash: { hashPage: (_buffer, _offset, into, index) => void into.fill(0, index, index + 2) },
      readFailed: (error) => {
        if (!(error instanceof CodedError)) reject(error);
      },
    },
    {
      canTake: true,
      take: () => (taken += 1),
      ask: (pages) => void asked.push(...pages),
      taken: () => {
        if (taken + asked.length === blockPages) resolve(undefined);
      },
      fail: reject,
    },
  );
  restorer.pump();
  await over;
  return { taken, asked, reads };
}

test('sources that hang one after the other cost their own pages, and no other’s', async (t) => {
  const { taken, asked } = await restore(4, 3);
  t.is(taken, pagesPerSource);
  t.is(asked.length, 3 * pagesPerSource);
});

test('where very many hang nothing is read any more, and everything is asked for', async (t) => {
  const { taken, asked, reads } = await restore(30, 29);
  t.is(taken + asked.length, 30 * pagesPerSource);
  t.true(reads.length < 200, `${reads.length} reads`);
});
