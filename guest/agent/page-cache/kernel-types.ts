/**
 * Where members of the kernel's structures lie, from the description that the running kernel has of its own types: BTF
 * (Documentation/bpf/btf.rst), /sys/kernel/btf/vmlinux.
 */
import { GuestError } from '../guest-error.ts';

const magic = 0xeb9f;
const headerBytes = 24;
const typeBytes = 12;
const structKind = 4;
const unionKind = 5;
const typedefKind = 8;
/** Typedef, volatile, const, restrict, type tag: each stands for another type. */
const aliasKinds = new Set([typedefKind, 9, 10, 11, 18]);

/** Bytes after a type's own, by kind: so many, or so many for each of its members. */
const fixedBytes: Readonly<Record<number, number>> = { 1: 4, 3: 12, 14: 4, 17: 4 };
const memberBytes: Readonly<Record<number, number>> = {
  [structKind]: 12,
  [unionKind]: 12,
  6: 8,
  13: 8,
  15: 12,
  19: 12,
};
const lastKind = 19;

interface Member {
  readonly name: string;
  readonly type: number;
  readonly offsetBytes: number;
}

export class KernelTypes {
  readonly #btf: Buffer;
  readonly #strings: number;
  /** Where each type begins, by its number. */
  readonly #types: Uint32Array;
  readonly #structs = new Map<string, number>();

  /** @throws GuestError 'unknown-layout' if it is no BTF, or has kinds of types that are not known */
  constructor(btf: Buffer) {
    if (btf.length < headerBytes || btf.readUInt16LE(0) !== magic)
      throw new GuestError('unknown-layout', 'the kernel does not describe its types (BTF)');
    const start = btf.readUInt32LE(4);
    const typesAt = start + btf.readUInt32LE(8);
    const typesEnd = typesAt + btf.readUInt32LE(12);
    this.#btf = btf;
    this.#strings = start + btf.readUInt32LE(16);
    this.#types = new Uint32Array(Math.floor((typesEnd - typesAt) / typeBytes) + 1);
    let number = 1;
    for (let at = typesAt; at < typesEnd; number += 1) {
      this.#types[number] = at;
      const kind = this.#kindAt(at);
      if (kind === 0 || kind > lastKind)
        throw new GuestError(
          'unknown-layout',
          `the kernel describes a type of kind ${kind}, which is not known`,
        );
      at += typeBytes + (fixedBytes[kind] ?? 0) + (memberBytes[kind] ?? 0) * this.#memberCountAt(at);
    }
  }

  /** @throws GuestError 'unknown-layout' */
  sizeOf(struct: string): number {
    return this.#btf.readUInt32LE((this.#types[this.#find(struct)] ?? 0) + 8);
  }

  /**
   * Where a member lies, in bytes from the structure's start. Members of anonymous structures and unions in it are its own.
   * @param path "d_name.len"
   * @throws GuestError 'unknown-layout'
   */
  offsetOf(struct: string, path: string): number {
    let type = this.#find(struct);
    let offsetBytes = 0;
    for (const name of path.split('.')) {
      const member = this.#member(type, name);
      if (member === undefined)
        throw new GuestError('unknown-layout', `the kernel's struct ${struct} has no ${path}`);
      offsetBytes += member.offsetBytes;
      type = this.#resolve(member.type);
    }
    return offsetBytes;
  }

  #find(struct: string): number {
    const known = this.#structs.get(struct);
    if (known !== undefined) return known;
    const name = Buffer.from(`${struct}\0`, 'latin1');
    for (let number = 1; number < this.#types.length; number++) {
      const at = this.#types[number] ?? 0;
      if (at === 0) break;
      if (this.#kindAt(at) !== structKind) continue;
      const nameAt = this.#strings + this.#btf.readUInt32LE(at);
      if (this.#btf.compare(name, 0, name.length, nameAt, nameAt + name.length) !== 0) continue;
      this.#structs.set(struct, number);
      return number;
    }
    throw new GuestError('unknown-layout', `the kernel has no struct ${struct}`);
  }

  #member(type: number, name: string): Member | undefined {
    for (const member of this.#members(type)) {
      if (member.name === name) return member;
      if (member.name !== '') continue;
      const inner = this.#member(this.#resolve(member.type), name);
      if (inner !== undefined) return { ...inner, offsetBytes: member.offsetBytes + inner.offsetBytes };
    }
    return undefined;
  }

  *#members(type: number): Generator<Member> {
    const at = this.#types[type] ?? 0;
    const kind = at === 0 ? 0 : this.#kindAt(at);
    if (kind !== structKind && kind !== unionKind) return;
    // With bit fields in the structure, the upper 8 bits of each member's offset are its width.
    const offsetMask = this.#btf.readUInt32LE(at + 4) >>> 31 === 1 ? 0xff_ffff : 0xffff_ffff;
    for (let index = 0; index < this.#memberCountAt(at); index++) {
      const member = at + typeBytes + index * 12;
      yield {
        name: this.#nameAt(this.#btf.readUInt32LE(member)),
        type: this.#btf.readUInt32LE(member + 4),
        offsetBytes: (this.#btf.readUInt32LE(member + 8) & offsetMask) >>> 3,
      };
    }
  }

  #resolve(type: number): number {
    for (let resolved = type; ;) {
      const at = this.#types[resolved] ?? 0;
      if (at === 0 || !aliasKinds.has(this.#kindAt(at))) return resolved;
      resolved = this.#btf.readUInt32LE(at + 8);
    }
  }

  #kindAt(at: number): number {
    return (this.#btf.readUInt32LE(at + 4) >>> 24) & 0x1f;
  }

  #memberCountAt(at: number): number {
    return this.#btf.readUInt32LE(at + 4) & 0xffff;
  }

  #nameAt(offset: number): string {
    const start = this.#strings + offset;
    return this.#btf.toString('latin1', start, this.#btf.indexOf(0, start));
  }
}
