import test from 'ava';
import fc from 'fast-check';
import { type CompressionChange, CompressionChoice } from './compression-choice.ts';

/** What a link and its ends carry in each way, and whether the link runs dry then. */
interface Conditions {
  readonly compressed: { readonly bytesPerSecond: number; readonly dry: boolean };
  readonly plain: { readonly bytesPerSecond: number; readonly dry: boolean };
}

const stepMs = 5;

class Migration {
  readonly choice = new CompressionChoice();
  readonly changes: CompressionChange[] = [];
  /** Of the time so far, by way. */
  readonly ms = { compressed: 0, plain: 0 };
  #nowMs = 1000;

  /** @param noise factor on the rate, by step */
  run(conditions: Conditions, ms: number, noise: (step: number) => number = () => 1): this {
    for (let step = 0; step * stepMs < ms; step++) {
      this.#nowMs += stepMs;
      const way = this.choice.compresses ? 'compressed' : 'plain';
      this.ms[way] += stepMs;
      const { bytesPerSecond, dry } = conditions[way];
      const change = this.choice.went((bytesPerSecond * stepMs * noise(step)) / 1000, dry, this.#nowMs);
      if (change !== undefined) this.changes.push(change);
    }
    return this;
  }
}

const scarceLink = {
  compressed: { bytesPerSecond: 40e6, dry: false },
  plain: { bytesPerSecond: 15e6, dry: false },
};
const scarceProcessors = {
  compressed: { bytesPerSecond: 300e6, dry: true },
  plain: { bytesPerSecond: 900e6, dry: false },
};

test('where the link is scarce, nothing is tried', (t) => {
  const { changes, ms } = new Migration().run(scarceLink, 120_000);
  t.deepEqual(changes, []);
  t.is(ms.plain, 0);
});

test('where processors are, compression ends at once, and is tried again ever more rarely', (t) => {
  const { changes, ms, choice } = new Migration().run(scarceProcessors, 5000);
  t.false(choice.compresses);
  t.deepEqual(changes, [{ compresses: false, compressedBytesPerSecond: 300e6, plainBytesPerSecond: 900e6 }]);
  t.true(ms.compressed < 3000, `${ms.compressed} ms`);
  const long = new Migration().run(scarceProcessors, 600_000);
  t.is(long.changes.length, 1);
  t.true(long.ms.compressed < 0.03 * 600_000, `${long.ms.compressed} ms`);
});

test('where neither is scarce, nothing is compressed in vain', (t) => {
  const { choice } = new Migration().run(
    {
      compressed: { bytesPerSecond: 50e6, dry: true },
      plain: { bytesPerSecond: 50e6, dry: true },
    },
    5000,
  );
  t.false(choice.compresses);
});

test('a guest that leaves processors alone again is noticed', (t) => {
  const migration = new Migration().run(scarceProcessors, 60_000).run(scarceLink, 70_000);
  t.true(migration.choice.compresses);
  t.deepEqual(
    migration.changes.map(({ compresses }) => compresses),
    [false, true],
  );
});

test('what carries clearly more is chosen, whatever the noise', (t) => {
  const rate = fc.integer({ min: 5e6, max: 2e9 });
  fc.assert(
    fc.property(
      rate,
      rate,
      fc.boolean(),
      fc.boolean(),
      fc.infiniteStream(fc.double({ min: 0.9, max: 1.1, noNaN: true })),
      (compressed, plain, dryCompressed, dryPlain, noise) => {
        const { choice, changes } = new Migration().run(
          {
            compressed: { bytesPerSecond: compressed, dry: dryCompressed },
            plain: { bytesPerSecond: plain, dry: dryPlain },
          },
          60_000,
          () => (noise.next() as IteratorYieldResult<number>).value,
        );
        // A link that compressed frames keep full is not tried plain.
        if (!dryCompressed) t.deepEqual(changes, []);
        else if (compressed > plain * 1.2 && !dryPlain) t.true(changes.at(-1)?.compresses ?? true);
        else if (compressed < plain) t.false(choice.compresses && changes.length === 0);
        t.true(changes.length <= 1);
      },
    ),
    { numRuns: 50 },
  );
});
