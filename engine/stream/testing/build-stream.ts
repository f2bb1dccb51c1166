/**
 * Builds migration streams for tests, straight from QEMU's format and without the codec's own writer, so that a mistake
 * made there does not hide itself.
 */

/** A big-endian number. */
export function number(bytes: 1 | 2 | 4 | 8, value: number | bigint): Buffer {
  const wide = Buffer.alloc(8);
  wide.writeBigUInt64BE(BigInt(value));
  return wide.subarray(8 - bytes);
}

/** A name after its length in one byte. */
export function name(text: string): Buffer {
  return Buffer.concat([number(1, text.length), Buffer.from(text, 'latin1')]);
}

export const magic = Buffer.from('5145564d00000003', 'hex');

export function configuration(machine: string, ...subsections: readonly Buffer[]): Buffer {
  return Buffer.concat([number(1, 7), number(4, machine.length), Buffer.from(machine), ...subsections]);
}

export function subsection(title: string, data: Buffer): Buffer {
  return Buffer.concat([number(1, 5), name(title), number(4, 1), data]);
}

export function capabilities(...names: readonly string[]): Buffer {
  return subsection(
    'configuration/capabilities',
    Buffer.concat([number(4, names.length), ...names.map(name)]),
  );
}

export function command(code: number, data: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.concat([number(1, 8), number(2, code), number(2, data.length), data]);
}

/** Header of a START (1) or FULL (4) section. */
export function sectionStart(type: 1 | 4, id: number, title: string, version: number): Buffer {
  return Buffer.concat([number(1, type), number(4, id), name(title), number(4, 0), number(4, version)]);
}

/** Header of a PART (2) or END (3). */
export function sectionPart(type: 2 | 3, id: number): Buffer {
  return Buffer.concat([number(1, type), number(4, id)]);
}

/** End of a part of the RAM section, with its footer. */
export function sectionEnd(id: number): Buffer {
  return Buffer.concat([number(8, 0x10), number(1, 0x7e), number(4, id)]);
}

interface TestBlock {
  readonly name: string;
  readonly pageCount: number;
}

export function memorySizes(blocks: readonly TestBlock[]): Buffer {
  const total = blocks.reduce((sum, { pageCount }) => sum + pageCount * 4096, 0);
  return Buffer.concat([
    number(8, total + 4),
    ...blocks.map((block) => Buffer.concat([name(block.name), number(8, block.pageCount * 4096)])),
  ]);
}

/** A record of a page; with a block name unless it is of the same block as the one before. */
export function page(blockName: string | undefined, pageIndex: number, content: Buffer): Buffer {
  return record(blockName, pageIndex, 0x08, content);
}

export function zeroPage(blockName: string | undefined, pageIndex: number): Buffer {
  return record(blockName, pageIndex, 0x02, Buffer.alloc(1));
}

/** A page as the difference from its record before. */
export function delta(blockName: string | undefined, pageIndex: number, data: Buffer): Buffer {
  return record(blockName, pageIndex, 0x40, Buffer.concat([number(1, 1), number(2, data.length), data]));
}

export function record(blockName: string | undefined, pageIndex: number, flag: number, data: Buffer): Buffer {
  const flags = blockName === undefined ? flag | 0x20 : flag;
  return Buffer.concat([
    number(8, BigInt(pageIndex) * 4096n + BigInt(flags)),
    ...(blockName === undefined ? [] : [name(blockName)]),
    data,
  ]);
}

/** Everything before the first page. */
export function streamStart(id: number, blocks: readonly TestBlock[]): Buffer {
  return Buffer.concat([
    magic,
    configuration('pc-q35-10.0'),
    sectionStart(1, id, 'ram', 4),
    memorySizes(blocks),
    sectionEnd(id),
  ]);
}

/** A device's state as it follows RAM, end of file and description; with bytes in it that look like other things. */
export const deviceState = Buffer.concat([
  sectionStart(4, 9, 'timer', 2),
  number(8, 0x1008),
  sectionPart(2, 3),
  number(1, 0x7e),
  number(4, 9),
  number(1, 0),
  number(1, 6),
  number(4, 2),
  Buffer.from('{}'),
]);
