import test from 'ava';
import { rowsForDataBytes } from './table-size.ts';

test('rows give the pool use that was measured in guests with 1.8 million rows', (t) => {
  const measured = { mariadb: 433_405_952, mysql: 441_876_480 };
  for (const dbms of ['mariadb', 'mysql'] as const) {
    const rows = rowsForDataBytes(dbms, measured[dbms]);
    t.true(Math.abs(rows / 1_800_000 - 1) < 0.01, `${dbms}: ${rows}`);
  }
});

test('a size below what the server itself takes still gives a row', (t) => {
  t.is(rowsForDataBytes('mysql', 0), 1);
});
