import test from 'ava';
import fc from 'fast-check';
import { compareLedger, parseLedgerFile } from './ledger-check.ts';
import { judgeTable } from './table-check.ts';
import { parseBufferPoolUse } from './warm-up.ts';

test('ledger file: unknown numbers and a last line that was cut short do not count', (t) => {
  const text = '1\n2\n3 unknown\n4\n15\n';
  t.deepEqual(parseLedgerFile(text), [1, 2, 4, 15]);
  t.deepEqual(parseLedgerFile(text.slice(0, -1)), [1, 2, 4], 'the 15 may have been the beginning of 150');
  t.deepEqual(parseLedgerFile(''), []);
});

test('lost commits are acknowledged ones that the database lacks; more in the database is no loss', (t) => {
  t.deepEqual(compareLedger([1, 2, 4, 5], new Set([1, 2, 3, 5])), { acknowledged: 4, lost: 1, firstLost: 4 });
  t.deepEqual(compareLedger([1, 2], new Set([1, 2, 3])), { acknowledged: 2, lost: 0, firstLost: undefined });
  const numbers = fc.uniqueArray(fc.nat());
  fc.assert(
    fc.property(numbers, numbers, (kept, lost) => {
      const missing = lost.filter((number) => !kept.includes(number));
      const result = compareLedger([...kept, ...missing], new Set(kept));
      t.deepEqual(result, {
        acknowledged: kept.length + missing.length,
        lost: missing.length,
        firstLost: missing[0],
      });
    }),
  );
});

test('CHECK TABLE: only a last status of OK without an error is healthy', (t) => {
  const table = 'sbtest.sbtest1';
  const row = (type: string, text: string): string[] => [table, 'check', type, text];
  t.deepEqual(judgeTable(table, [row('status', 'OK')]), { table, ok: true, message: 'OK' });
  t.deepEqual(judgeTable(table, [row('Warning', 'index k_1 has 9 entries'), row('error', 'Corrupt')]), {
    table,
    ok: false,
    message: 'Warning: index k_1 has 9 entries; error: Corrupt',
  });
  t.false(judgeTable(table, [row('Error', 'x'), row('status', 'OK')]).ok);
  t.false(judgeTable(table, [row('status', 'Operation failed')]).ok);
  t.false(judgeTable(table, []).ok);
});

test('buffer pool use from SHOW STATUS', (t) => {
  t.deepEqual(
    parseBufferPoolUse([
      ['Innodb_buffer_pool_bytes_data', '1024'],
      ['Innodb_buffer_pool_bytes_dirty', '16'],
      ['Innodb_buffer_pool_pages_total', '77'],
      ['Innodb_buffer_pool_pages_free', '7'],
      ['Innodb_buffer_pool_load_status', 'not started'],
    ]),
    { dataBytes: 1024, dirtyBytes: 16, totalPages: 77, freePages: 7, loadStatus: 'not started' },
  );
});
