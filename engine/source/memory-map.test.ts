import test from 'ava';
import { CodedError } from '../../foundation/coded-error.ts';
import type { RamBlock } from '../stream/handler.ts';
import { addressOf, framesOf } from './memory-map.ts';

/** QEMU 10.0 with two NUMA nodes and a DIMM, shortened; its monitor ends lines with CR LF. */
const said = `
FlatView #0
 AS "cpu-smm-1", root: memory
 Root memory region: memory
  0000000000000000-00000000000bffff (prio 0, ram): n1
  0000000000100000-0000000003ffffff (prio 0, ram): n1 @0000000000100000

FlatView #4
 AS "memory", root: system
 AS "cpu-memory-0", root: system
 Root memory region: system
  0000000000000000-00000000000bffff (prio 0, ram): n0 KVM
  00000000000c0000-00000000000dffff (prio 1, rom): pc.rom
  0000000000100000-0000000003ffffff (prio 0, ram): n0 @0000000000100000 KVM
  0000000004000000-000000000bffffff (prio 0, ram): n1
  00000000b0000000-00000000bfffffff (prio 0, i/o): pcie-mmcfg-mmio
  00000000fd000000-00000000fdffffff (prio 1, ram): vga.vram
  0000000100000000-0000000107ffffff (prio 0, ram): dimm0

              Block Name    PSize              Offset               Used              Total                HVA  RO
                      n1    4 KiB  0x0000000004000000 0x0000000008000000 0x0000000008000000 0x00007f06dfc00000  rw
                   dimm0    2 MiB  0x000000000c000000 0x0000000008000000 0x0000000008000000 0x00007f06d7bff000  rw
                      n0    4 KiB  0x0000000000000000 0x0000000004000000 0x0000000004000000 0x00007f06e7e00000  rw
`.replaceAll('\n', '\r\n');

const blocks: readonly RamBlock[] = (
  [
    ['n1', 0x8000],
    ['0000:00:02.0/vga.vram', 0x1000],
    ['dimm0', 0x8000],
    ['n0', 0x4000],
  ] as const
).map(([name, pageCount], index) => ({ index, name, pageCount, lengthBytes: pageCount * 4096 }));

test('frames are those of the view that processors and devices have outside of system management', (t) => {
  t.deepEqual(framesOf(said, blocks), [
    { firstFrame: 0, pages: 0xc0, blockIndex: 3, firstPage: 0 },
    { firstFrame: 0x100, pages: 0x3f00, blockIndex: 3, firstPage: 0x100 },
    { firstFrame: 0x4000, pages: 0x8000, blockIndex: 0, firstPage: 0 },
    { firstFrame: 0x100000, pages: 0x8000, blockIndex: 2, firstPage: 0 },
  ]);
});

test('a block has an address where its name and its size are right', (t) => {
  const at = (name: string, pageCount: number): number | undefined =>
    addressOf(said, { index: 0, name, pageCount, lengthBytes: pageCount * 4096 });
  t.is(at('n1', 0x8000), 0x7f06dfc00000);
  t.is(at('dimm0', 0x8000), 0x7f06d7bff000);
  t.is(at('n0', 0x8000), undefined);
  t.is(at('n2', 0x8000), undefined);
});

test('what is no map, or that of another VM, is refused', (t) => {
  const refused = { instanceOf: CodedError, code: 'memory-map' };
  t.throws(() => framesOf('', blocks), refused);
  t.throws(() => framesOf(said.replace('AS "memory"', 'AS "other"'), blocks), refused);
  t.throws(() => framesOf(said, [{ index: 0, name: 'pc.ram', pageCount: 1, lengthBytes: 4096 }]), refused);
});
