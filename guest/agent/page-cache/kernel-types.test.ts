import test from 'ava';
import { KernelTypes } from './kernel-types.ts';

const kinds = { int: 1, struct: 4, union: 5, typedef: 8, funcProto: 13 };

/** Writes types as the kernel describes them; they are numbered from 1 on. */
class BtfWriter {
  #strings = '\0';
  readonly #types: number[][] = [];

  #name(text: string): number {
    if (text === '') return 0;
    const at = this.#strings.length;
    this.#strings += `${text}\0`;
    return at;
  }

  /** @param sizeOrType its size, or the type that it stands for */
  type(kind: number, name: string, sizeOrType: number, extra: readonly number[] = [], members = 0): number {
    this.#types.push([this.#name(name), (kind << 24) | members, sizeOrType, ...extra]);
    return this.#types.length;
  }

  composite(
    kind: number,
    name: string,
    size: number,
    members: readonly (readonly [name: string, type: number, offsetBits: number])[],
    { bitFields = false } = {},
  ): number {
    const extra = members.flatMap(([member, type, offset]) => [this.#name(member), type, offset]);
    const number = this.type(kind, name, size, extra, members.length);
    const words = this.#types[number - 1];
    if (bitFields && words !== undefined) words[1] = ((words[1] ?? 0) | (1 << 31)) >>> 0;
    return number;
  }

  bytes(): Buffer {
    const types = Buffer.from(Uint32Array.from(this.#types.flat()).buffer);
    const strings = Buffer.from(this.#strings, 'latin1');
    const header = Buffer.alloc(24);
    header.writeUInt16LE(0xeb9f, 0);
    header.writeUInt8(1, 2);
    header.writeUInt32LE(24, 4);
    header.writeUInt32LE(types.length, 12);
    header.writeUInt32LE(types.length, 16);
    header.writeUInt32LE(strings.length, 20);
    return Buffer.concat([header, types, strings]);
  }
}

test('members of anonymous structures and behind other names of a type are found', (t) => {
  const btf = new BtfWriter();
  const long = btf.type(kinds.int, 'unsigned long', 8, [64]);
  btf.type(kinds.funcProto, '', long, [0, long, 0, long], 2);
  const list = btf.composite(kinds.struct, 'list', 16, [
    ['next', long, 0],
    ['prev', long, 64],
  ]);
  const list_t = btf.type(kinds.typedef, 'list_t', list);
  const inner = btf.composite(kinds.struct, '', 24, [
    ['lru', list_t, 0],
    ['mapping', long, 128],
  ]);
  const union = btf.composite(kinds.union, '', 24, [
    ['', inner, 0],
    ['private', long, 0],
  ]);
  btf.composite(kinds.struct, 'page', 64, [
    ['flags', long, 0],
    ['', union, 64],
  ]);
  // A union of the same name is another type, and with bit fields an offset has the width in its upper bits.
  btf.composite(kinds.union, 'inode', 8, [['i_ino', long, 0]]);
  const flagged = [
    ['i_bits', long, (3 << 24) | 5],
    ['i_ino', long, 256],
  ] as const;
  btf.composite(kinds.struct, 'inode', 64, flagged, { bitFields: true });
  const types = new KernelTypes(btf.bytes());
  t.is(types.sizeOf('page'), 64);
  t.is(types.offsetOf('page', 'flags'), 0);
  t.is(types.offsetOf('page', 'mapping'), 24);
  t.is(types.offsetOf('page', 'lru.prev'), 16);
  t.is(types.offsetOf('inode', 'i_ino'), 32);
  t.throws(() => types.offsetOf('page', 'index'), { message: "the kernel's struct page has no index" });
  t.throws(() => types.sizeOf('folio'), { message: 'the kernel has no struct folio' });
});

test('what is no such description, or has kinds of types that are not known, is refused', (t) => {
  t.throws(() => new KernelTypes(Buffer.alloc(64)), { message: /does not describe its types/ });
  const btf = new BtfWriter();
  btf.type(20, 'new', 4);
  t.throws(() => new KernelTypes(btf.bytes()), { message: /kind 20/ });
});
