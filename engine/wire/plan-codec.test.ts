import test from 'ava';
import fc from 'fast-check';
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import {
  decodeAsk,
  decodePlanPart,
  encodeAsk,
  encodePlanPart,
  maxAskedPages,
  maxPlanPages,
  type PlanPart,
} from './plan-codec.ts';

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });

const part: fc.Arbitrary<PlanPart> = fc
  .record({
    blockIndex: fc.nat(0xffff),
    sourceIndex: fc.nat(0xffff),
    runs: fc.array(fc.tuple(u32, u32, fc.integer({ min: 1, max: 40 })), { maxLength: 40 }),
  })
  .chain(({ blockIndex, sourceIndex, runs }) => {
    const pageCount = runs.reduce((sum, [, , count]) => sum + count, 0);
    return fc.array(u32, { minLength: 2 * pageCount, maxLength: 2 * pageCount }).map((hashes) => ({
      blockIndex,
      sourceIndex,
      runs: Uint32Array.from(runs.flat()),
      hashes: Uint32Array.from(hashes),
      pageCount,
    }));
  });

test('a part is as documented', (t) => {
  const bytes = encodePlanPart({
    blockIndex: 1,
    sourceIndex: 2,
    runs: Uint32Array.of(0x10, 0x20, 1),
    hashes: Uint32Array.of(0xaabbccdd, 0x11223344),
    pageCount: 1,
  });
  t.is(bytes.toString('hex'), '00010002' + '00000001' + '000000100000002000000001' + 'aabbccdd11223344');
});

test('parts come back as they were', (t) => {
  fc.assert(
    fc.property(part, (value) => {
      t.deepEqual(decodePlanPart(encodePlanPart(value)), value);
    }),
    { numRuns: 200 },
  );
});

test('a part that is cut, or longer, or counts wrongly, is refused', (t) => {
  const bytes = encodePlanPart({
    blockIndex: 0,
    sourceIndex: 0,
    runs: Uint32Array.of(5, 6, 2, 9, 9, 1),
    hashes: Uint32Array.of(1, 2, 3, 4, 5, 6),
    pageCount: 3,
  });
  for (let length = 0; length < bytes.length; length++) {
    t.throws(() => decodePlanPart(bytes.subarray(0, length)), { instanceOf: CodedError, name: 'WireError' });
  }
  t.throws(() => decodePlanPart(Buffer.concat([bytes, Buffer.alloc(1)])), {
    instanceOf: CodedError,
    name: 'WireError',
  });
  for (const [at, value] of [
    [4, 0xffff_ffff],
    [16, 0],
    [16, maxPlanPages + 1],
  ] as const) {
    const wrong = Buffer.from(bytes);
    wrong.writeUInt32BE(value, at);
    t.throws(() => decodePlanPart(wrong), { instanceOf: CodedError, name: 'WireError' });
  }
});

test('garbage is refused or read within its length', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      try {
        t.true(decodePlanPart(Buffer.from(bytes)).pageCount <= 300 / 8);
      } catch (error) {
        t.true(isCoded(error, 'wire'));
      }
    }),
    { numRuns: 1000 },
  );
});

test('pages asked for come back as they were', (t) => {
  const pages = [
    { blockIndex: 0, pageIndex: 0 },
    { blockIndex: 0xffff, pageIndex: 0xffff_ffff },
  ];
  t.deepEqual(decodeAsk(encodeAsk(pages)), pages);
  t.throws(() => decodeAsk(Buffer.alloc(9)), { instanceOf: CodedError, name: 'WireError' });
  t.is(decodeAsk(Buffer.alloc(maxAskedPages * 8)).length, maxAskedPages);
  t.throws(() => decodeAsk(Buffer.alloc((maxAskedPages + 1) * 8)), { code: 'malformed' });
});
