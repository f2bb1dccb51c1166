/**
 * Loads a migration stream into a model of guest memory as QEMU's own loader does (migration/ram.c, ram_load_precopy and
 * ram_load_postcopy), strictly and without the codec's reader: what it takes, QEMU takes.
 */

export interface LoadedStream {
  /** Content of each page that a record was loaded for: "block name/page index" -> bytes, or 'zero'. */
  readonly memory: ReadonlyMap<string, Buffer | 'zero'>;
  /** Everything after RAM's END. */
  readonly rest: Buffer;
  readonly pageRecords: number;
  /** The package of a stream that has become post-copy. */
  readonly package: Buffer | undefined;
  readonly deltaRecords: number;
  /** Keys of the pages whose last record was a difference. */
  readonly endWithDelta: ReadonlySet<string>;
}

/** @throws Error at the first byte that the format does not allow */
export function loadStream(stream: Buffer): LoadedStream {
  let at = 0;
  const take = (bytes: number): Buffer => {
    if (at + bytes > stream.length)
      throw new Error(`stream ends at ${stream.length}, ${bytes} wanted at ${at}`);
    at += bytes;
    return stream.subarray(at - bytes, at);
  };
  const number = (bytes: number): number => take(bytes).reduce((sum, byte) => sum * 256 + byte, 0);
  const text = (): string => take(number(1)).toString('latin1');
  const expect = (what: string, found: number, wanted: number): void => {
    if (found !== wanted) throw new Error(`${what}: ${found} instead of ${wanted} before ${at}`);
  };

  const memory = new Map<string, Buffer | 'zero'>();
  const pageCounts = new Map<string, number>();
  let pageRecords = 0;
  let deltaRecords = 0;
  const endWithDelta = new Set<string>();
  // As MigrationIncomingState.last_recv_block: it lives on from section to section.
  let block: string | undefined;
  let packaged: Buffer | undefined;
  const place = (key: string, content: Buffer | 'zero'): void => {
    // The target's kernel refuses to fill a page that is there (UFFDIO_COPY, EEXIST).
    if (packaged !== undefined && memory.has(key))
      throw new Error(`page ${key} is placed twice before ${at}`);
    memory.set(key, content);
  };
  const discard = (): void => {
    expect('version of the discard', number(1), 0);
    const name = text();
    expect('end of the block name', number(1), 0);
    while (at < commandEnd) {
      const first = number(8) / 4096;
      const count = number(8) / 4096;
      for (let page = first; page < first + count; page++) memory.delete(`${name}/${page}`);
    }
    expect('end of the discard', at, commandEnd);
  };
  let commandEnd = 0;

  const loadRamSection = (id: number): void => {
    for (;;) {
      const head = take(8).readBigUInt64BE();
      const flags = Number(head & 0xfffn);
      const pageIndex = Number(head >> 12n);
      if (flags === 0x10) break;
      if (flags === 0x04) {
        let total = pageIndex * 4096;
        while (total > 0) {
          const name = text();
          const lengthBytes = number(8);
          pageCounts.set(name, lengthBytes / 4096);
          total -= lengthBytes;
        }
        expect('sum of the RAM blocks', total, 0);
        continue;
      }
      if ((flags & 0x20) === 0) block = text();
      if (block === undefined) throw new Error(`no block before ${at}`);
      if (pageIndex >= (pageCounts.get(block) ?? 0))
        throw new Error(`no page ${pageIndex} in ${block} before ${at}`);
      const kind = flags & ~0x20;
      const key = `${block}/${pageIndex}`;
      endWithDelta.delete(key);
      if (kind === 0x40) {
        expect('encoding', number(1), 1);
        const base = memory.get(key);
        if (base === undefined) throw new Error(`a difference from nothing before ${at}`);
        memory.set(key, applyDelta(base === 'zero' ? Buffer.alloc(4096) : base, take(number(2))));
        deltaRecords += 1;
        endWithDelta.add(key);
      } else if (kind === 0x08) {
        place(key, take(4096));
        pageRecords += 1;
      } else if (kind === 0x02) {
        expect('fill byte', number(1), 0);
        place(key, 'zero');
      } else {
        throw new Error(`flags ${flags} before ${at}`);
      }
    }
    expect('footer', number(1), 0x7e);
    expect('section of the footer', number(4), id);
  };

  expect('magic', number(4), 0x5145564d);
  expect('version', number(4), 3);
  let ramId: number | undefined;
  for (;;) {
    const type = number(1);
    if (type === 7) {
      take(number(4));
    } else if (type === 5) {
      const title = text();
      expect('version of the subsection', number(4), 1);
      if (title === 'configuration/uuid') take(16);
      else if (title === 'configuration/capabilities') for (let left = number(4); left > 0; left -= 1) text();
      else throw new Error(`subsection ${title} before ${at}`);
    } else if (type === 1) {
      ramId = number(4);
      if (text() !== 'ram') throw new Error(`a section that is not RAM's before ${at}`);
      expect('instance', number(4), 0);
      expect('version', number(4), 4);
      loadRamSection(ramId);
    } else if (type === 2 || type === 3) {
      const id = number(4);
      expect('section', id, ramId ?? -1);
      loadRamSection(id);
      if (type === 3)
        return {
          memory,
          rest: stream.subarray(at),
          pageRecords,
          deltaRecords,
          endWithDelta,
          package: packaged,
        };
    } else if (type === 8) {
      const code = number(2);
      const dataBytes = number(2);
      commandEnd = at + dataBytes;
      if (code === 6) discard();
      else if (code === 7) packaged = take(number(4));
      else take(commandEnd - at);
    } else {
      throw new Error(`section type ${type} before ${at}`);
    }
  }
}

/** Runs of bytes that stay and bytes that change, each after its length in ULEB128 (migration/xbzrle.c, xbzrle_decode_buffer). */
function applyDelta(base: Buffer, delta: Buffer): Buffer {
  const page = Buffer.from(base);
  let from = 0;
  const length = (): number => {
    const low = delta[from++] ?? 0;
    return low < 0x80 ? low : (low & 0x7f) | ((delta[from++] ?? 0) << 7);
  };
  for (let to = 0; from < delta.length;) {
    to += length();
    const changed = length();
    if (changed === 0 || to + changed > page.length || from + changed > delta.length)
      throw new Error('a difference that QEMU does not load');
    delta.copy(page, to, from, from + changed);
    from += changed;
    to += changed;
  }
  return page;
}
