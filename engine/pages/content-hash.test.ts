import test from 'ava';
import { hashPage } from './content-hash.ts';

function hash(buffer: Buffer, offset: number): string {
  const halves = new Uint32Array(3);
  hashPage(buffer, offset, halves, 1);
  return [halves[2] ?? 0, halves[1] ?? 0].map((half) => half.toString(16).padStart(8, '0')).join('');
}

test('is XXH64 of the page', (t) => {
  // Reference values of `xxhsum -H64` (xxHash 0.8.1): 4096 zeros; the bytes 0..255 sixteen times over.
  t.is(hash(Buffer.alloc(4096), 0), 'ac869b6f32d8bbdb');
  t.is(hash(Buffer.from(Array.from({ length: 4096 }, (_, index) => index & 0xff)), 0), '0f6e64be186af6a4');
});

test('looks at the page alone, wherever it lies', (t) => {
  const page = Buffer.from(Array.from({ length: 4096 }, (_, index) => (index * 7) & 0xff));
  const around = Buffer.concat([Buffer.alloc(13, 1), page, Buffer.alloc(5, 2)]);
  t.is(hash(around, 13), hash(page, 0));
  for (const changed of [0, 4095]) {
    const other = Buffer.from(page);
    other.writeUInt8(255 - other.readUInt8(changed), changed);
    t.not(hash(other, 0), hash(page, 0), `byte ${changed}`);
  }
});
