import test from 'ava';
import { readImageHeader } from './image-header.ts';

/** As qemu-img writes it: the extensions behind the header, then the backing file's name. */
function qcow2(
  version: 2 | 3,
  {
    encryption = 0,
    incompatible = 0n,
    backing,
    format,
  }: { encryption?: number; incompatible?: bigint; backing?: string; format?: string } = {},
): Buffer {
  const bytes = Buffer.alloc(65_536);
  bytes.writeUInt32BE(0x514649fb, 0);
  bytes.writeUInt32BE(version, 4);
  bytes.writeUInt32BE(encryption, 32);
  let at = 72;
  if (version === 3) {
    bytes.writeBigUInt64BE(incompatible, 72);
    bytes.writeUInt32BE(112, 100);
    at = 112;
  }
  // Names of features, which nobody needs here.
  bytes.writeUInt32BE(0x6803f857, at);
  bytes.writeUInt32BE(42, at + 4);
  at += 8 + 48;
  if (format !== undefined) {
    bytes.writeUInt32BE(0xe2792aca, at);
    bytes.writeUInt32BE(format.length, at + 4);
    bytes.write(format, at + 8);
    at += 8 + 8;
  }
  if (backing !== undefined) {
    at += 8;
    bytes.writeBigUInt64BE(BigInt(at), 8);
    bytes.writeUInt32BE(backing.length, 16);
    bytes.write(backing, at);
  }
  return bytes;
}

test('images of both versions, alone and on others', (t) => {
  for (const version of [2, 3] as const) {
    t.deepEqual(readImageHeader(qcow2(version)), { format: 'qcow2', backing: undefined });
    t.deepEqual(readImageHeader(qcow2(version, { backing: '../base.img', format: 'raw' })), {
      format: 'qcow2',
      backing: { name: '../base.img', format: 'raw' },
    });
    t.deepEqual(readImageHeader(qcow2(version, { backing: 'json:{}' })), {
      format: 'qcow2',
      backing: { name: 'json:{}', format: undefined },
    });
    // A place for a name, and none in it.
    t.deepEqual(readImageHeader(qcow2(version, { backing: '' })), { format: 'qcow2', backing: undefined });
  }
});

test('what is not read says what it is', (t) => {
  const signatures: readonly (readonly [at: number, signature: string])[] = [
    [0, 'KDMV'],
    [0, '# Disk DescriptorFile\nversion=1'],
    [0, 'WithoutFreeSpace'],
    [0, 'LUKS\xba\xbe'],
    [0, 'vhdxfile'],
    [0, 'conectix'],
    [0, 'QED\0'],
    [64, '\x7f\x10\xda\xbe'],
  ];
  const others = signatures.map(([at, signature]) => {
    const bytes = Buffer.alloc(512);
    bytes.write(signature, at, 'latin1');
    return bytes;
  });
  const cases: readonly (readonly [Buffer, RegExp])[] = [
    ...others.map(
      (bytes) =>
        [
          bytes,
          /^(an?|the descriptor of a) ((VMDK|VHDX|VHD|QED|VDI|Parallels) image|image encrypted with LUKS)/,
        ] as const,
    ),
    [qcow2(3, { incompatible: 4n }), /external data file/],
    [qcow2(2, { encryption: 1 }), /encrypted .*AES/],
    [qcow2(3, { encryption: 2 }), /encrypted .*LUKS/],
    [qcow2(3).fill(1, 7, 8), /version 1/],
    [qcow2(3, { backing: 'x' }).subarray(0, 110), /not in its header/],
    [qcow2(3, { backing: 'x'.repeat(1024) }), /not in its header/],
    [qcow2(3, { backing: 'base\0\0' }), /name is cut off/],
  ];
  for (const [bytes, why] of cases) {
    const header = readImageHeader(bytes);
    t.is(header.format, 'unsupported');
    if (header.format === 'unsupported') t.regex(header.why, why);
  }
});

test('anything else is raw, whatever its first bytes are', (t) => {
  for (const bytes of [
    Buffer.alloc(0),
    Buffer.alloc(4096),
    Buffer.from('QFI\xfb', 'latin1'),
    Buffer.alloc(512, 0x51),
  ])
    t.deepEqual(readImageHeader(bytes), { format: 'raw' });
});

test('extensions that lead nowhere end the search', (t) => {
  const bytes = qcow2(3, { backing: 'base', format: 'raw' });
  bytes.writeUInt32BE(0xffff_fff0, 116);
  t.deepEqual(readImageHeader(bytes), { format: 'qcow2', backing: { name: 'base', format: undefined } });
});
