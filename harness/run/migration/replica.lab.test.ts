/** A copy of the database that follows it, and takes over behind a proxy, under load. About two minutes under TCG. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import test from 'ava';
import { readRun } from '../../../record/read-run.ts';
import { run, small } from '../small-run.fixture.ts';

test('a replica takes over when the source has ended, and has every commit', async (t) => {
  const { outcome, reason, row, folder } = await run(t, { scenario: 'rw', engine: 'replica', maxTime: 400 });
  t.is(outcome, 'completed', reason ?? '');
  t.is(row?.ledger_lost, 0);
  t.true(Number(row?.ledger_acknowledged) > 20);
  t.true(row?.tables_ok);
  // Both threads of sysbench.
  t.is(row?.load_reconnects, 2);
  t.true(Number(row?.tps_after) > 0);
  t.true(
    Number(row?.service_link_bytes) > 0.5 * small.tableData * 2 ** 20,
    'the data crosses the service link',
  );
  t.true(Number(row?.servers_both_ms) > 0);
  t.true(Number(row?.downtime_stop_resume_ms) < Number(row?.total_time_ms));

  const { events } = await readRun(folder);
  t.deepEqual(
    events.filter((event) => event.event === 'restart').map(({ phase }) => phase),
    ['copied', 'pool-loaded', 'caught-up', 'source-closed', 'vm-stopped', 'vm-started', 'server-answers'],
  );
  const console = (host: string): Promise<string> =>
    readFile(path.join(folder, 'logs', `console-${host}.log`), 'utf8');
  t.regex(await console('src'), /^POOLSHIFT \S+ server-exited 0$/m);
  t.regex(
    await console('dst'),
    /^POOLSHIFT \S+ standby$[^]*^POOLSHIFT \S+ prepared$[^]*^POOLSHIFT \S+ server-up$/m,
  );
});
