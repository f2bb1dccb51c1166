import test from 'ava';
import type { Memory } from '../process-memory.ts';
import { PageTable, touchPages } from './resident-pages.ts';

/** The process's own. */
function tableOf(pid: number): PageTable {
  return new PageTable(pid);
}

test('ranges of a page table are there or not', (t) => {
  const table = tableOf(process.pid);
  t.teardown(() => {
    table.close();
  });
  t.false(table.hasAny(4096, 64 * 4096));
  t.false(table.hasAny(2 ** 52, 2 ** 52 + 4096));
});

test('what is absent is touched, once for its neighbours and then one by one', (t) => {
  const table = tableOf(process.pid);
  t.teardown(() => {
    table.close();
  });
  const touched: number[] = [];
  const memory: Memory = {
    read: (address, into) => {
      touched.push(address);
      return into.length;
    },
  };
  // Below the least address that a process may have: absent for ever.
  touchPages(memory, table, Float64Array.of(0x1000, 0x3000, 0xf000), 8192);
  t.deepEqual(touched, [0x1000, 0x10000, 0x1000, 0x2000, 0x3000, 0x4000, 0xf000, 0x10000]);
  touched.length = 0;
  touchPages(memory, table, new Float64Array(0), 8192);
  t.deepEqual(touched, []);
});
