/**
 * After Zephyr (Elmore, Das, Agrawal, El Abbadi, SIGMOD 2011), which moves a database without shared storage: a VM that waits
 * gets a copy of the data on a disk of its own (mariadb-backup), while the source serves; its server follows the source by GTID
 * until it has caught up and its pool is full; then the source ends, what it committed last is applied, and the proxy sends the
 * clients there. Two servers run from the copy on, and one of them at most is written by clients: the second is not reached by
 * them before the source's QEMU has ended.
 */
import { CodedError } from '../../../foundation/coded-error.ts';
import { nowMs } from '../../probes/wall-clock.ts';
import type { Host } from '../../testbed/host.ts';
import { waitForServer } from '../../vm/machine.ts';
import type { DatabaseServer } from '../../workload/database-server.ts';
import { dumpPool, prepareDump, waitForPool } from '../../workload/pool-load.ts';
import { runSql, sqlClientCommand } from '../../workload/sql-client.ts';
import type { SqlProxy } from '../../workload/sql-proxy.ts';
import type { Migration } from './migration.ts';
import { endSource, type RestartContext } from './restart.ts';

interface ReplicaContext extends Omit<RestartContext, 'successor'> {
  /** In the VM on standby. */
  readonly second: DatabaseServer;
  readonly proxy: SqlProxy;
}

/** Where the VM on standby takes the source's address (guest/image/guest-init.sh). */
const standbyPort = 4567;

export function replica(context: ReplicaContext): Migration {
  const { configuration, testbed, server, second, proxy, log, signal } = context;
  const { dst, client } = testbed.hosts;
  const reached = (
    phase: 'copied' | 'caught-up' | 'source-closed' | 'vm-stopped' | 'vm-started' | 'server-answers',
  ) => {
    log.event({ event: 'restart', at_ms: nowMs(), phase });
  };
  return {
    run: async () => {
      const { usual, whileLoading } = await prepareDump(client, server);
      log.event({ event: 'migrate-command', at_ms: nowMs(), uri: 'replica:dst' });
      const deadlineMs = performance.now() + configuration.maxTimeSeconds * 1000;
      const leftMs = (): number => Math.max(1, deadlineMs - performance.now());
      const waiting = () => ({ timeoutMs: leftMs(), signal });

      await dumpPool(client, server, waiting());
      await client.run(`echo ${server.host} | socat - TCP:${second.host}:${standbyPort}`);
      await waitForServer({ client, vmHost: dst, server: second, ...waiting() });
      reached('copied');
      await follow(client, server, second, whileLoading);
      const loadedAtMs = await waitForPool(client, second, waiting());
      log.event({ event: 'restart', at_ms: loadedAtMs, host: 'client', phase: 'pool-loaded' });
      const [[position = ''] = []] = await runSql(client, server, 'SELECT @@gtid_binlog_pos');
      await waitUntilApplied(client, second, position, leftMs());
      reached('caught-up');

      reached('source-closed');
      // It ends its clients' connections first, and only then those of servers that follow it, when they have everything.
      await endSource(
        context,
        'SET GLOBAL innodb_buffer_pool_dump_at_shutdown = OFF; SHUTDOWN WAIT FOR ALL SLAVES',
        leftMs(),
      );
      reached('vm-stopped');
      await waitUntilApplied(client, second, await receivedPosition(client, second), leftMs());
      await runSql(client, second, `STOP SLAVE; RESET SLAVE ALL; SET GLOBAL innodb_io_capacity = ${usual}`);
      reached('vm-started');
      await proxy.switchOver();
      await waitForServer({ client, vmHost: dst, server: proxy.server, ...waiting() });
      reached('server-answers');
      return 'completed';
    },
    close: () => Promise.resolve(),
  };
}

/** Has the second server follow the first from where its copy ends (mariadb-backup's xtrabackup_binlog_info). */
async function follow(
  client: Host,
  first: DatabaseServer,
  second: DatabaseServer,
  ioCapacity: number,
): Promise<void> {
  const [[, , position = ''] = []] = await runSql(
    client,
    second,
    `SET GLOBAL innodb_io_capacity = ${ioCapacity};
SELECT LOAD_FILE(CONCAT(@@datadir, 'xtrabackup_binlog_info'))`,
  );
  if (!/^\d+-\d+-\d+$/.test(position))
    throw new CodedError('run', 'migration-failed', `the copy has no GTID, but "${position}"`);
  const { host, port, user, password } = first;
  await runSql(
    client,
    second,
    `SET GLOBAL gtid_slave_pos = '${position}';
CHANGE MASTER TO master_host = '${host}', master_port = ${port}, master_user = '${user}', master_password = '${password}',
  master_use_gtid = slave_pos, master_connect_retry = 1;
START SLAVE`,
  );
}

/** @throws CodedError 'run' where it does not come to that in time */
async function waitUntilApplied(
  client: Host,
  second: DatabaseServer,
  position: string,
  timeoutMs: number,
): Promise<void> {
  const [[waited] = []] = await runSql(
    client,
    second,
    `SELECT MASTER_GTID_WAIT('${position}', ${timeoutMs / 1000})`,
    { timeoutMs: timeoutMs + 10_000 },
  );
  if (waited !== '0')
    throw new CodedError(
      'run',
      'migration-failed',
      `the second server has not applied ${position} within --max-time: ${JSON.stringify(await slaveStatus(client, second))}`,
    );
}

async function receivedPosition(client: Host, second: DatabaseServer): Promise<string> {
  const status = await slaveStatus(client, second);
  const position = status.get('Gtid_IO_Pos');
  if (position === undefined || position === '')
    throw new CodedError('run', 'migration-failed', 'the second server does not say what it has received');
  return position;
}

async function slaveStatus(client: Host, second: DatabaseServer): Promise<ReadonlyMap<string, string>> {
  const { stdout } = await client.run(`${sqlClientCommand(second)} --column-names`, {
    input: 'SHOW SLAVE STATUS\\G\n',
  });
  return new Map(
    [...stdout.matchAll(/^ *(\w+): (.*)$/gm)].map(([, name = '', value = '']) => [name, value] as const),
  );
}
