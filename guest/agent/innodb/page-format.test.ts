import test from 'ava';
import { crc32c } from './page-format.ts';

test('CRC-32C of the check string, at every alignment', (t) => {
  for (let before = 0; before < 9; before++) {
    const bytes = Buffer.concat([Buffer.alloc(before, 1), Buffer.from('123456789'), Buffer.alloc(3, 2)]);
    t.is(crc32c(bytes, before, before + 9), 0xe306_9283);
  }
  // RFC 3720, B.4: 32 bytes of ones.
  t.is(crc32c(Buffer.alloc(32, 0xff), 0, 32), 0x62a8_ab43);
});
