import { crc32, zstdCompressSync } from 'node:zlib';
import test from 'ava';
import fc from 'fast-check';
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import { type FrameProtection, FrameReader, type FrameType, frameHeader, frameTypes } from './frame.ts';

interface Frame {
  readonly type: FrameType;
  readonly payload: string;
}

function read(chunks: readonly Buffer[], protection: FrameProtection = 'tls'): Frame[] {
  const frames: Frame[] = [];
  const reader = new FrameReader(protection, (type, payload) =>
    frames.push({ type, payload: payload.toString('hex') }),
  );
  for (const chunk of chunks) reader.push(chunk);
  return frames;
}

function plain(protection: FrameProtection, type: FrameType, payload: Buffer): Buffer {
  return Buffer.concat([frameHeader(type, payload, undefined, protection), payload]);
}

function compressed(protection: FrameProtection, type: FrameType, payload: Buffer): Buffer {
  const bytes = zstdCompressSync(payload);
  return Buffer.concat([frameHeader(type, bytes, payload.length, protection), bytes]);
}

const text = Buffer.from('a page of memory, a page of memory, a page of memory');

function sampleOf(protection: FrameProtection): Buffer {
  return Buffer.concat([
    plain(protection, 'heartbeat', Buffer.alloc(0)),
    plain(protection, 'stream', text),
    compressed(protection, 'stream', Buffer.alloc(70_000, 7)),
    plain(protection, 'commit', Buffer.alloc(0)),
    plain(protection, 'ask', Buffer.alloc(8, 1)),
    plain(protection, 'started', Buffer.alloc(0)),
  ]);
}

test('a header is as documented', (t) => {
  const payload = Buffer.from('abc');
  t.is(frameHeader('stream', payload, 5, 'tls').toString('hex'), '020100000000000300000005');
  // CRC-32 of "abc", and of the sixteen bytes before.
  t.is(
    frameHeader('stream', payload, 5, 'checksums').toString('hex'),
    '020100000000000300000005352441c2' +
      crc32(Buffer.from('020100000000000300000005352441c2', 'hex')).toString(16),
  );
});

for (const protection of ['tls', 'checksums'] as const) {
  test(`frames are the same wherever the bytes are cut (${protection})`, (t) => {
    const sample = sampleOf(protection);
    const whole = read([sample], protection);
    t.deepEqual(
      whole.map(({ type }) => type),
      ['heartbeat', 'stream', 'stream', 'commit', 'ask', 'started'],
    );
    t.is(whole[1]?.payload, text.toString('hex'));
    t.is(whole[2]?.payload, Buffer.alloc(70_000, 7).toString('hex'));
    for (let cut = 1; cut < sample.length; cut++) {
      const frames = read([sample.subarray(0, cut), sample.subarray(cut)], protection);
      if (JSON.stringify(frames) !== JSON.stringify(whole)) t.fail(`differs when cut at ${cut}`);
    }
    t.deepEqual(
      read(
        Array.from(sample, (byte) => Buffer.of(byte)),
        protection,
      ),
      whole,
    );
  });

  test(`bytes are counted with their headers (${protection})`, (t) => {
    const sample = sampleOf(protection);
    const reader = new FrameReader(protection, () => undefined);
    reader.push(sample);
    t.is(reader.wireBytes, sample.length);
  });
}

test('with checksums each changed bit is found before its frame is taken', (t) => {
  const sample = sampleOf('checksums');
  const whole = read([sample], 'checksums');
  for (let at = 0; at < sample.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const damaged = Buffer.from(sample);
      damaged.writeUInt8(damaged.readUInt8(at) ^ (1 << bit), at);
      const taken: Frame[] = [];
      const reader = new FrameReader('checksums', (type, payload) =>
        taken.push({ type, payload: payload.toString('hex') }),
      );
      const error = t.throws(
        () => {
          reader.push(damaged);
        },
        { instanceOf: CodedError, name: 'WireError' },
      );
      if (taken.some((frame, i) => frame.type !== whole[i]?.type || frame.payload !== whole[i].payload)) {
        t.fail(`bit ${bit} of byte ${at}: a changed frame was taken before "${error.message}"`);
      }
    }
  }
});

test('a changed length is not waited for', (t) => {
  const header = frameHeader('stream', Buffer.from('abc'), undefined, 'checksums');
  header.writeUInt8(1, 5);
  t.throws(() => read([plain('checksums', 'heartbeat', Buffer.alloc(0)), header], 'checksums'), {
    code: 'corrupt',
  });
});

test('what may not come yet is refused by its header', (t) => {
  const reader = new FrameReader(
    'checksums',
    () => undefined,
    (type) => type === 'hello',
  );
  t.throws(
    () => {
      reader.push(frameHeader('sources', Buffer.alloc(100_000), undefined, 'checksums'));
    },
    { code: 'malformed', message: /"sources" before its greeting/ },
  );
});

test('an end that speaks TLS is told from garbage', (t) => {
  t.throws(() => read([Buffer.from('16030105', 'hex')], 'checksums'), { message: /speaks TLS/ });
  t.throws(() => read([Buffer.from('GET / HTTP/1.1')], 'checksums'), { message: /no frame starts with/ });
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
    const error = t.throws(() => read([Buffer.from(header, 'hex')]), {
      instanceOf: CodedError,
      name: 'WireError',
    });
    t.is(error.code, code);
  });
}

test('a compressed frame cannot grow beyond what its header says', (t) => {
  const bomb = zstdCompressSync(Buffer.alloc(8 * 1024 * 1024));
  for (const rawBytes of [0, 1, 1024 * 1024]) {
    const bytes = Buffer.concat([frameHeader('stream', bomb, rawBytes, 'tls'), bomb]);
    const error = t.throws(() => read([bytes]), { instanceOf: CodedError, name: 'WireError' });
    t.is(error.code, 'malformed');
  }
});

test('garbage ends in a WireError or in waiting, and nothing large is kept', (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.integer({ min: 1, max: 50 }),
      fc.constantFrom('tls', 'checksums'),
      (bytes, step, protection: FrameProtection) => {
        const reader = new FrameReader(protection, () => undefined);
        try {
          for (let at = 0; at < bytes.length; at += step)
            reader.push(Buffer.from(bytes.subarray(at, at + step)));
        } catch (error) {
          if (!isCoded(error, 'wire')) throw error;
        }
      },
    ),
    { numRuns: 2000 },
  );
  t.pass();
});

test('a damaged byte never gives a longer payload than its type allows', (t) => {
  const sample = sampleOf('tls');
  fc.assert(
    fc.property(fc.nat(sample.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const damaged = Buffer.from(sample);
      damaged.writeUInt8(damaged.readUInt8(at) ^ flip, at);
      const reader = new FrameReader('tls', (type, payload) => {
        if (payload.length > frameTypes[type].maxBytes) throw new Error('too long');
      });
      try {
        reader.push(damaged);
      } catch (error) {
        if (!isCoded(error, 'wire')) throw error;
      }
    }),
    { numRuns: 1000 },
  );
  t.pass();
});
