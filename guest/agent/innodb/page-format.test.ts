import test from 'ava';
import { crc32c, foldBinary, hasValidChecksum } from './page-format.ts';

test('CRC-32C of the check string, at every alignment', (t) => {
  for (let before = 0; before < 9; before++) {
    const bytes = Buffer.concat([Buffer.alloc(before, 1), Buffer.from('123456789'), Buffer.alloc(3, 2)]);
    t.is(crc32c(bytes, before, before + 9), 0xe306_9283);
  }
  // RFC 3720, B.4: 32 bytes of ones.
  t.is(crc32c(Buffer.alloc(32, 0xff), 0, 32), 0x62a8_ab43);
});

/** ut_fold_binary with the 64 bits that it is computed in. */
function foldOf(bytes: Uint8Array): number {
  let sum = 0n;
  for (const byte of bytes) {
    const mixed = ((sum ^ BigInt(byte) ^ 1653893711n) << 8n) + sum;
    sum = BigInt.asUintN(64, (BigInt.asUintN(64, mixed) ^ 1463735687n) + BigInt(byte));
  }
  return Number(sum & 0xffff_ffffn);
}

test("InnoDB's fold of bytes has the low half of the one in 64 bits", (t) => {
  const bytes = Uint8Array.from({ length: 300 }, (_, index) => (index * 37 + 200) & 0xff);
  for (const [start, end] of [
    [0, 0],
    [5, 6],
    [4, 26],
    [0, 300],
  ] as const)
    t.is(foldBinary(bytes, start, end), foldOf(bytes.subarray(start, end)));
});

const pageSize = 4096;

/** A page that was written under a value of innodb_checksum_algorithm. */
function pageWith(algorithm: 'innodb' | 'crc32' | 'full_crc32' | 'none'): Buffer {
  const page = Buffer.alloc(pageSize);
  page.fill(0x5a, 38, 3000);
  page.writeUInt32BE(7, 4);
  page.writeBigUInt64BE(0x1_8899_aabbn, 16);
  page.writeUInt32BE(3, 34);
  if (algorithm === 'full_crc32') {
    page.writeUInt32BE(0x8899_aabb, pageSize - 8);
    page.writeUInt32BE(crc32c(page, 0, pageSize - 4), pageSize - 4);
    return page;
  }
  page.writeUInt32BE(0x8899_aabb, pageSize - 4);
  const [header, body] = [page.subarray(4, 26), page.subarray(38, pageSize - 8)];
  const sum = {
    innodb: foldOf(header) + foldOf(body),
    crc32: crc32c(header, 0, header.length) ^ crc32c(body, 0, body.length),
    none: 0xdead_beef,
  }[algorithm];
  page.writeUInt32BE(sum >>> 0, 0);
  page.writeUInt32BE(algorithm === 'innodb' ? foldOf(page.subarray(0, 26)) : sum >>> 0, pageSize - 8);
  return page;
}

test('a page is valid with each checksum that InnoDB has written, and no more once it is changed', (t) => {
  for (const algorithm of ['innodb', 'crc32', 'full_crc32'] as const) {
    t.true(hasValidChecksum(pageWith(algorithm), 0, pageSize), algorithm);
    const among = Buffer.concat([Buffer.alloc(pageSize, 1), pageWith(algorithm)]);
    t.true(hasValidChecksum(among, pageSize, pageSize), algorithm);
    for (const at of [0, 4, 20, 25, 38, 2000, pageSize - 9, pageSize - 8, pageSize - 1]) {
      const changed = pageWith(algorithm);
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      t.false(hasValidChecksum(changed, 0, pageSize), `${algorithm}, byte ${at}`);
    }
  }
  t.false(hasValidChecksum(Buffer.alloc(pageSize), 0, pageSize));
});

/** Page 1 of a table as MySQL 9.7.4 wrote it with innodb_checksum_algorithm=innodb: its bytes from some places on; else it has zeros. */
const writtenByMysql: readonly (readonly [at: number, bytes: string])[] = [
  [0, 'f208b457'],
  [7, '01'],
  [20, '02495afb'],
  [25, '05'],
  [37, '02'],
  [105, '1002'],
  [113, '30102113333131313313331111'],
  [254, '113133'],
  [350, '33'],
  [352, '1332121211123131133133331333333333333303'],
  [16376, '565b70b702495afb'],
];

test("a page that a server wrote with InnoDB's checksum is valid", (t) => {
  const page = Buffer.alloc(16384);
  for (const [at, bytes] of writtenByMysql) page.write(bytes, at, 'hex');
  t.true(hasValidChecksum(page, 0, page.length));
  page.writeUInt8(1, 5000);
  t.false(hasValidChecksum(page, 0, page.length));
});

test('a page without a checksum is valid as long as its LSNs agree', (t) => {
  const page = pageWith('none');
  t.true(hasValidChecksum(page, 0, pageSize));
  // As MariaDB does for each change; MySQL does it when it writes the page.
  page.writeBigUInt64BE(0x1_8899_aabcn, 16);
  t.false(hasValidChecksum(page, 0, pageSize));
});
