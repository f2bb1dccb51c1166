import test from 'ava';
import fc from 'fast-check';
import { isCoded } from '../../foundation/coded-error.ts';
import { frameTypes } from '../wire/frame.ts';
import { encodeMessage } from '../wire/messages.ts';
import { listLimits, parseMetadata } from './page-list-metadata.ts';
import type { PageSource } from './page-list.ts';

/** Metadata with the same file many times, as a guest's root can write it. */
function metadataOf(path: Buffer, files: number): Buffer {
  const head = Buffer.from(
    '{"guestRam":[],"timings":{"findMs":0,"translateMs":0,"mapMs":0,"encodeMs":0},"server":{"product":"other",' +
      '"version":"","method":"scan","cachedPages":0,"dirtyPages":0,"excludedPages":0},"sources":[',
  );
  const file = Buffer.concat([
    Buffer.from('{"kind":"file","fileSystem":"a","runs":0,"path":"'),
    path,
    Buffer.from('"},'),
  ]);
  const sources = Buffer.concat(Array.from({ length: files }, () => file)).subarray(0, -1);
  return Buffer.concat([head, sources, Buffer.from(']}')]);
}

function sourcesIn(metadata: Buffer): readonly PageSource[] | undefined {
  try {
    return parseMetadata(metadata).sources;
  } catch (error) {
    if (isCoded(error, 'page-list')) return undefined;
    throw error;
  }
}

test('names of bytes that are no UTF-8 are refused', (t) => {
  const paths = [Buffer.from('ä/\\ud800/\\n'), Buffer.alloc(4000, 0xff), Buffer.from([0xed, 0xa0, 0x80])];
  t.deepEqual(
    paths.map((path) => sourcesIn(metadataOf(path, 1000))?.length),
    [1000, undefined, undefined],
  );
});

test('whatever names a list may have, the message with them fits its frame', (t) => {
  // As bytes of JSON: what is one character and what becomes longer or shorter by being written again.
  const letters = [
    '61',
    'ff',
    'c3a4',
    'f09f9880',
    '5c7530303031',
    '5c75643830',
    '5c7564383030',
    '5c22',
    'e280a8',
    '7f',
  ];
  const letter = fc.constantFrom(...letters.map((hex) => Buffer.from(hex, 'hex')));
  const hashKey = '0'.repeat(32);
  fc.assert(
    fc.property(
      fc.array(letter, { minLength: 1, maxLength: 4 }),
      fc.integer({ min: 1, max: 4095 }),
      (some, length) => {
        const unit = Buffer.concat(some);
        const path = Buffer.concat(Array.from({ length: Math.ceil(length / some.length) }, () => unit));
        const files = Math.min(4096, Math.floor((listLimits.metadataBytes - 1000) / (path.length + 60)));
        const sources = sourcesIn(metadataOf(path, files));
        if (sources === undefined) return;
        t.true(encodeMessage({ sources, hashKey }).length <= frameTypes.sources.maxBytes);
      },
    ),
    { numRuns: 40, examples: [[[Buffer.from([0xff])], 4000]] },
  );
  t.pass();
});
