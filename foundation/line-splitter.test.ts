import test from 'ava';
import fc from 'fast-check';
import { LineSplitter } from './line-splitter.ts';

function split(chunks: readonly Uint8Array[]): string[] {
  const splitter = new LineSplitter();
  return [...chunks.flatMap((chunk) => splitter.push(chunk)), ...splitter.end()];
}

test('lines are the same wherever the bytes are cut', (t) => {
  const bytes = Buffer.from('first\n\nzwei äöü €\n𝄞 last without end');
  const expected = ['first', '', 'zwei äöü €', '𝄞 last without end'];
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    t.deepEqual(split([bytes.subarray(0, cut), bytes.subarray(cut)]), expected, `cut at ${cut}`);
  }
  t.deepEqual(split([...bytes].map((byte) => Uint8Array.of(byte))), expected);
});

test('any lines in any chunks come back whole', (t) => {
  const line = fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\n', ''));
  fc.assert(
    fc.property(fc.array(line), fc.array(fc.nat(), { maxLength: 20 }), (lines, cuts) => {
      const bytes = Buffer.from(lines.map((text) => `${text}\n`).join(''));
      const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
      const chunks = places.slice(1).map((place, index) => bytes.subarray(places[index], place));
      t.deepEqual(split(chunks), lines);
    }),
  );
});

test('a line without end does not grow without bound', (t) => {
  const splitter = new LineSplitter();
  const chunk = Buffer.alloc(1 << 20, 'x');
  for (let i = 0; i < 8; i += 1) splitter.push(chunk);
  t.is(splitter.end()[0]?.length, 1 << 20);
});
