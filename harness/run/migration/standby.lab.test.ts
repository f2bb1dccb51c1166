/** A server that takes another's disk over, behind a proxy, under load. About a minute and a half under TCG. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import test from 'ava';
import { readRun } from '../../../record/read-run.ts';
import { run } from '../small-run.fixture.ts';

test('a server in a VM that waits takes the disk over when the other has ended, and loses no commit', async (t) => {
  const { outcome, reason, row, folder } = await run(t, { scenario: 'rw', engine: 'handover', after: 10 });
  t.is(outcome, 'completed', reason ?? '');
  t.is(row?.ledger_lost, 0);
  t.true(Number(row?.ledger_acknowledged) > 20);
  t.true(row?.tables_ok);
  t.true(Number(row?.downtime_heartbeat_ms) > 0);
  // Both threads of sysbench.
  t.is(row?.load_reconnects, 2);
  t.is(row?.load_restarts, 0);
  t.true(Number(row?.tps_after) > 0);
  t.true(Number(row?.migration_link_bytes) < 1e6);

  const { events } = await readRun(folder);
  t.deepEqual(
    events.filter((event) => event.event === 'restart').map(({ phase }) => phase),
    ['vm-stopped', 'vm-started', 'server-answers', 'pool-loaded'],
  );
  // Clients know one address, before and after.
  t.deepEqual(
    [
      ...new Set(
        events.flatMap((event) =>
          event.event === 'connection' && event.probe === 'ledger' && event.state === 'connected'
            ? [event.detail]
            : [],
        ),
      ),
    ],
    ['sbtest@127.0.0.1:3307'],
  );

  const console = (host: string): Promise<string> =>
    readFile(path.join(folder, 'logs', `console-${host}.log`), 'utf8');
  const [onSource, onTarget] = await Promise.all([console('src'), console('dst')]);
  t.regex(onSource, /^POOLSHIFT \S+ server-exited 0$/m);
  t.regex(onTarget, /^POOLSHIFT \S+ standby$[^]*^POOLSHIFT \S+ disk-plugged-in$/m);
  t.notRegex(onTarget, /server-exited|crash recovery/);
  const [, writtenLast] = /Shutdown completed; log sequence number (\d+)/.exec(onSource) ?? [];
  const [, foundFirst] = /End of log at LSN=(\d+)/.exec(onTarget) ?? [];
  t.regex(writtenLast ?? '', /^\d+$/);
  t.is(foundFirst, writtenLast, 'the server goes on where the other one ended');
});
