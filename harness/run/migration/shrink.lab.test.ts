/** A small VM whose pool is shrunk before it moves, under load. About two minutes under TCG. */
import test from 'ava';
import { readRun } from '../../../record/read-run.ts';
import { run, small } from '../small-run.fixture.ts';

const mib = 2 ** 20;

test('a pool that is shrunk is not sent, and is read again where the VM then is', async (t) => {
  // A server that reads every block again and again dirties memory fast: whether pre-copy gets below
  // 300 ms then is up to the machine's speed, and not what is asked here.
  const { outcome, reason, row, folder } = await run(t, {
    scenario: 'rw',
    engine: 'shrink',
    downtimeLimit: 3000,
  });
  t.is(outcome, 'completed', reason ?? '');
  t.is(row?.ledger_lost, 0);
  t.true(Number(row?.ledger_acknowledged) > 20);
  const { events } = await readRun(folder);
  const pool = events.filter((event) => event.event === 'pool');
  t.deepEqual(
    pool.map(({ phase }) => phase),
    ['shrunk', 'given-back', 'grown', 'loaded'],
  );
  const [shrunk = 0, givenBack = 0, , loaded = 0] = pool.map(({ bytes }) => bytes);
  t.true(shrunk < 33 * mib, `${shrunk} bytes in the pool when it is small`);
  t.true(givenBack > 100 * mib, `${givenBack} bytes in the balloon`);
  t.true(loaded > 0.9 * small.tableData * mib, `${loaded} bytes in the pool at the end`);
  // The one command is when shrinking began.
  t.is(events.filter((event) => event.event === 'migrate-command').length, 1);
  t.true(Number(row?.pool_shrunk_ms) < Number(row?.total_time_ms));
  t.true(Number(row?.pool_loaded_ms) > Number(row?.total_time_ms));
});
