import { zstdCompressSync } from 'node:zlib';
import test from 'ava';
import fc from 'fast-check';
import { frameHeader, frameHeaderBytes, FrameReader, type FrameType, frameTypes } from './frame.ts';
import { WireError } from './wire-error.ts';

interface Frame {
  readonly type: FrameType;
  readonly payload: string;
}

function read(chunks: readonly Buffer[]): Frame[] {
  const frames: Frame[] = [];
  const reader = new FrameReader((type, payload) => frames.push({ type, payload: payload.toString('hex') }));
  for (const chunk of chunks) reader.push(chunk);
  return frames;
}

function plain(type: FrameType, payload: Buffer): Buffer {
  return Buffer.concat([frameHeader(type, payload.length, payload.length, false), payload]);
}

function compressed(type: FrameType, payload: Buffer): Buffer {
  const bytes = zstdCompressSync(payload);
  return Buffer.concat([frameHeader(type, bytes.length, payload.length, true), bytes]);
}

const text = Buffer.from('a page of memory, a page of memory, a page of memory');
const sample = Buffer.concat([
  plain('heartbeat', Buffer.alloc(0)),
  plain('stream', text),
  compressed('stream', Buffer.alloc(70_000, 7)),
  plain('commit', Buffer.alloc(0)),
  plain('ask', Buffer.alloc(8, 1)),
  plain('started', Buffer.alloc(0)),
]);

test('a header is as documented', (t) => {
  t.is(frameHeader('stream', 3, 5, true).toString('hex'), '020100000000000300000005');
});

test('frames are the same wherever the bytes are cut', (t) => {
  const whole = read([sample]);
  t.deepEqual(
    whole.map(({ type }) => type),
    ['heartbeat', 'stream', 'stream', 'commit', 'ask', 'started'],
  );
  t.is(whole[1]?.payload, text.toString('hex'));
  t.is(whole[2]?.payload, Buffer.alloc(70_000, 7).toString('hex'));
  for (let cut = 1; cut < sample.length; cut++) {
    const frames = read([sample.subarray(0, cut), sample.subarray(cut)]);
    if (JSON.stringify(frames) !== JSON.stringify(whole)) t.fail(`differs when cut at ${cut}`);
  }
  t.deepEqual(read(Array.from(sample, (byte) => Buffer.of(byte))), whole);
});

test('bytes are counted with their headers', (t) => {
  const reader = new FrameReader(() => undefined);
  reader.push(sample);
  t.is(reader.wireBytes, sample.length);
});

for (const [what, header, code] of [
  ['an unknown type', '630000000000000000000000', 'malformed'],
  ['an unknown encoding', '020200000000000100000001', 'malformed'],
  ['reserved bytes', '020000010000000100000001', 'malformed'],
  ['two lengths of a plain frame', '020000000000000100000002', 'malformed'],
  ['a payload beyond its type', '020000007fffffff7fffffff', 'too-long'],
  ['a heartbeat with payload', '0d0000000000000100000001', 'too-long'],
  ['a length once decompressed beyond its type', '020100000000000a7fffffff', 'too-long'],
] as const) {
  test(`${what} is refused by the header alone`, (t) => {
    const error = t.throws(() => read([Buffer.from(header, 'hex')]), { instanceOf: WireError });
    t.is(error.code, code);
  });
}

test('a compressed frame cannot grow beyond what its header says', (t) => {
  const bomb = zstdCompressSync(Buffer.alloc(8 * 1024 * 1024));
  for (const rawBytes of [0, 1, 1024 * 1024]) {
    const bytes = Buffer.concat([frameHeader('stream', bomb.length, rawBytes, true), bomb]);
    const error = t.throws(() => read([bytes]), { instanceOf: WireError });
    t.is(error.code, 'malformed');
  }
});

test('garbage ends in a WireError or in waiting, and nothing large is kept', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 1, max: 50 }), (bytes, step) => {
      const reader = new FrameReader(() => undefined);
      try {
        for (let at = 0; at < bytes.length; at += step)
          reader.push(Buffer.from(bytes.subarray(at, at + step)));
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
      }
    }),
    { numRuns: 2000 },
  );
  t.pass();
});

test('a damaged byte never gives a longer payload than its type allows', (t) => {
  fc.assert(
    fc.property(fc.nat(sample.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const damaged = Buffer.from(sample);
      damaged.writeUInt8(damaged.readUInt8(at) ^ flip, at);
      const reader = new FrameReader((type, payload) => {
        if (payload.length > frameTypes[type].maxBytes) throw new Error('too long');
      });
      try {
        reader.push(damaged);
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
      }
    }),
    { numRuns: 1000 },
  );
  t.is(frameHeaderBytes, 12);
});
