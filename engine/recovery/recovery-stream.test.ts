/** Recoveries against a model of a target, which takes each page once and at most once, in random interleavings. */
import test from 'ava';
import fc from 'fast-check';
import type { GuestRam } from '../core/outside.ts';
import { pageSizeBytes } from '../list/page-list.ts';
import type { RamBlock } from '../stream/handler.ts';
import { returnPathMessage } from '../stream/records.ts';
import { encodePageRequest, encodeReturnPathMessage } from '../stream/return-path.ts';
import { RecoveryStream } from './recovery-stream.ts';
import { blocksOf, PlayedTarget, ramSectionId } from './played-target.fixture.ts';

/** Every third page is zeros; of others each has its own. */
const contentOf = (block: number, page: number): number =>
  page % 3 === 0 ? 0 : 1 + ((block * 31 + page) % 255);

const contents = (block: number, page: number): Buffer => Buffer.alloc(pageSizeBytes, contentOf(block, page));

const memory = ({ index }: RamBlock): GuestRam => ({
  read: (page, count, into, offset) => {
    for (let i = 0; i < count; i += 1)
      into.fill(contentOf(index, page + i), offset + i * pageSizeBytes, offset + (i + 1) * pageSizeBytes);
  },
});

interface Course {
  readonly pageCounts: readonly number[];
  /** Of each block, which pages the target has. */
  readonly has: readonly (readonly number[])[];
  readonly steps: readonly { readonly do: 'send' | 'answer' | 'want'; readonly value: number }[];
}

const course: fc.Arbitrary<Course> = fc
  .array(fc.integer({ min: 1, max: 150 }), { minLength: 1, maxLength: 3 })
  .chain((pageCounts) =>
    fc.record({
      pageCounts: fc.constant(pageCounts),
      has: fc.tuple(...pageCounts.map((count) => fc.uniqueArray(fc.integer({ min: 0, max: count - 1 })))),
      steps: fc.array(
        fc.record({ do: fc.constantFrom('send', 'answer', 'want'), value: fc.nat({ max: 1000 }) }),
        { maxLength: 60 },
      ),
    }),
  );

interface Played {
  readonly target: PlayedTarget;
  readonly stream: RecoveryStream;
  readonly known: number;
  readonly answered: number;
}

/** Plays it to its end. */
function play({ pageCounts, has, steps }: Course): Played {
  const blocks = blocksOf(pageCounts);
  const target = new PlayedTarget(
    blocks,
    has.map((pages) => new Set(pages)),
    contents,
  );
  let known = -1;
  let answered = 0;
  const stream = new RecoveryStream(
    { ramSectionId, blocks, ram: memory },
    {
      write: (bytes) => {
        target.take(bytes);
      },
      answered: () => {
        answered += 1;
      },
      known: (pages) => {
        known = pages;
      },
      recovered: () => undefined,
    },
  );
  let rest = Buffer.alloc(0);
  const answer = (bytes: number): void => {
    rest = Buffer.concat([rest, ...target.answers.splice(0)]);
    stream.take(rest.subarray(0, bytes));
    rest = rest.subarray(bytes);
  };
  stream.begin();
  for (const { do: what, value } of steps) {
    if (what === 'send') stream.send(1 + value * 20);
    else if (what === 'answer') answer(1 + (value % 40));
    else if (stream.state === 'sending') {
      const block = blocks[value % blocks.length];
      if (block === undefined) continue;
      const pageIndex = value % block.pageCount;
      // Whole messages, but not in the middle of another.
      answer(Infinity);
      stream.take(encodePageRequest({ blockName: block.name, pageIndex, pageCount: 1 }));
    }
  }
  while (stream.state !== 'recovered') {
    answer(Infinity);
    stream.send(50_000);
  }
  return { target, stream, known, answered };
}

test('the target gets each page that it misses, and none twice, whatever comes when', (t) => {
  fc.assert(
    fc.property(course, (one) => {
      const { target, stream, known, answered } = play(one);
      const pages = one.pageCounts.reduce((sum, count) => sum + count, 0);
      const had = one.has.reduce((sum, list) => sum + list.length, 0);
      t.is(known, pages - had);
      t.is(target.got.length, pages - had);
      t.is(target.missing, 0);
      t.true(target.ended);
      t.is(stream.pagesMissing, 0);
      t.is(answered, 1);
    }),
  );
});

test('a target that misses nothing is told the end at once', (t) => {
  const { target } = play({ pageCounts: [3], has: [[0, 1, 2]], steps: [] });
  t.deepEqual(target.got, []);
  t.true(target.ended);
});

test('what the VM waits for comes next, with the other pages of its 16 KiB', (t) => {
  const { target } = play({
    pageCounts: [40],
    has: [[30]],
    steps: [
      { do: 'answer', value: 39 },
      { do: 'answer', value: 39 },
      { do: 'send', value: 0 },
      { do: 'want', value: 29 },
      { do: 'send', value: 800 },
    ],
  });
  t.deepEqual(target.got.slice(0, 5), ['0:0', '0:28', '0:29', '0:31', '0:1']);
});

function begun(pageCount: number, written: Buffer[] = []): RecoveryStream {
  const stream = new RecoveryStream(
    { ramSectionId, blocks: blocksOf([pageCount]), ram: memory },
    {
      write: (bytes) => written.push(bytes),
      answered: () => undefined,
      known: () => undefined,
      recovered: () => undefined,
    },
  );
  stream.begin();
  return stream;
}

test('a target with other memory gets nothing', (t) => {
  const written: Buffer[] = [];
  const stream = begun(64, written);
  const target = new PlayedTarget(blocksOf([65]), [new Set()], contents);
  for (const bytes of written.splice(0)) target.take(bytes);
  t.throws(
    () => {
      stream.take(Buffer.concat(target.answers));
    },
    { name: 'RecoveryError', code: 'another-vm' },
  );
  t.deepEqual(written, []);
});

test('the end of a target that has not everything is an error', (t) => {
  for (const status of ['00000000', '00000001', ''])
    t.throws(
      () => {
        const data = Buffer.from(status, 'hex');
        begun(1).take(encodeReturnPathMessage({ type: returnPathMessage.shut, data }));
      },
      { name: 'RecoveryError', code: 'target-failed' },
    );
});

test('what comes out of turn, or names what there is not, is an error', (t) => {
  const messages = {
    'an acknowledgement before all is known': encodeReturnPathMessage({
      type: returnPathMessage.resumeAck,
      data: Buffer.from('00000001', 'hex'),
    }),
    'a request beyond the block': encodePageRequest({ blockName: 'block0', pageIndex: 1, pageCount: 1 }),
    'a request in another block': encodePageRequest({ blockName: 'block1', pageIndex: 0, pageCount: 1 }),
  };
  for (const [what, message] of Object.entries(messages))
    t.throws(
      () => {
        begun(1).take(message);
      },
      { name: 'StreamError', code: 'return-path' },
      what,
    );
});

test('memory that cannot be read is an error before the target goes on', (t) => {
  const written: Buffer[] = [];
  const stream = new RecoveryStream(
    {
      ramSectionId,
      blocks: blocksOf([1]),
      ram: () => {
        throw new Error('no --ram');
      },
    },
    {
      write: (bytes) => written.push(bytes),
      answered: () => undefined,
      known: () => undefined,
      recovered: () => undefined,
    },
  );
  stream.begin();
  const target = new PlayedTarget(blocksOf([1]), [new Set()], contents);
  for (const bytes of written.splice(0)) target.take(bytes);
  t.throws(
    () => {
      stream.take(Buffer.concat(target.answers));
    },
    { message: 'no --ram' },
  );
  t.deepEqual(written, []);
});
