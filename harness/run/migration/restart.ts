/**
 * What a database administrator does without live migration: stops the server, which writes down what its pool holds, and
 * with it the VM; has a server on the other host open the same disk; and has it read the pool again while it serves. That
 * server is in a VM that is started then, or in one that waits (standby.ts). Nobody opens the disk before the source's QEMU
 * has ended.
 */
import { mebibytes } from '../../../foundation/quantity.ts';
import { CodedError } from '../../../foundation/coded-error.ts';
import type { Configuration } from '../../../experiments/configuration.ts';
import { nowMs } from '../../probes/wall-clock.ts';
import type { RunLog } from '../../../record/run-log.ts';
import type { Host, Testbed } from '../../testbed/host.ts';
import { consoleTail, waitForServer, waitForVmEnd } from '../../vm/machine.ts';
import type { MachineDescription } from '../../../qemu/machine-arguments.ts';
import type { QmpEvent } from '../../../qemu/qmp/messages.ts';
import type { QmpClient } from '../../../qemu/qmp/client.ts';
import { whileVmLives } from '../../vm/while-vm-lives.ts';
import type { DatabaseServer } from '../../workload/database-server.ts';
import { type IoCapacity, prepareDump, waitForPool } from '../../workload/pool-load.ts';
import { runSql } from '../../workload/sql-client.ts';
import { readBufferPoolUse } from '../../workload/warm-up.ts';
import { type Migration } from './migration.ts';

export interface RestartContext {
  readonly configuration: Configuration;
  readonly testbed: Testbed;
  readonly source: QmpClient;
  /** In the source. */
  readonly server: DatabaseServer;
  readonly successor: Successor;
  readonly log: RunLog;
  readonly signal: AbortSignal;
}

/** The server that takes over. */
export interface Successor {
  /** As it is asked whether it answers. */
  readonly server: DatabaseServer;
  /** Gives its VM the disk, which nobody has open. */
  start(capacity: IoCapacity): Promise<QmpClient>;
  /** It answers: clients may come. */
  admitClients(capacity: IoCapacity): Promise<void>;
}

/** A VM that is started with the source's disk and address. @param startTarget starts it, with changes to the source's description */
export function freshVm(
  server: DatabaseServer,
  startTarget: (changes: Partial<MachineDescription>) => Promise<QmpClient>,
): Successor {
  return {
    server,
    start: async ({ whileLoading }) => {
      const target = await startTarget({
        role: 'source',
        serverOptions: ['--innodb-buffer-pool-load-at-startup=ON', `--innodb-io-capacity=${whileLoading}`],
      });
      await target.execute('announce-self', announcements);
      return target;
    },
    admitClients: () => Promise.resolve(),
  };
}

const announcements = { initial: 20, max: 200, rounds: 10, step: 40 };

export function restart(context: RestartContext): Migration {
  const { configuration, testbed, server, successor, log, signal } = context;
  const { dst, client } = testbed.hosts;
  return {
    run: async () => {
      const capacity = await prepareDump(client, server);
      log.event({ event: 'migrate-command', at_ms: nowMs(), uri: `${configuration.engine}:dst` });
      const deadlineMs = performance.now() + configuration.maxTimeSeconds * 1000;
      const leftMs = (): number => Math.max(1, deadlineMs - performance.now());

      await endSource(context, 'SHUTDOWN', leftMs());
      log.event({ event: 'restart', at_ms: nowMs(), phase: 'vm-stopped' });

      const target = await successor.start(capacity);
      log.event({ event: 'restart', at_ms: nowMs(), phase: 'vm-started' });
      const there = successor.server;
      await waitForServer({ client, vmHost: dst, server: there, timeoutMs: leftMs(), signal });
      await successor.admitClients(capacity);
      log.event({ event: 'restart', at_ms: nowMs(), phase: 'server-answers' });

      const loadedAtMs = await whileVmLives(
        target,
        waitForPool(client, there, { timeoutMs: leftMs(), signal }),
      );
      log.event({ event: 'restart', at_ms: loadedAtMs, host: 'client', phase: 'pool-loaded' });
      await runSql(client, there, `SET GLOBAL innodb_io_capacity = ${capacity.usual}`);
      const { dataBytes } = await readBufferPoolUse(client, there);
      const text = `${mebibytes(dataBytes)} in the pool again`;
      log.event({ event: 'note', at_ms: nowMs(), text });
      return 'completed';
    },
    close: () => Promise.resolve(),
  };
}

/** Ends the server by that statement, and with it the source's VM; its QEMU has ended when this returns. */
export async function endSource(
  { testbed, source, server, signal }: Pick<RestartContext, 'testbed' | 'source' | 'server' | 'signal'>,
  statement: string,
  timeoutMs: number,
): Promise<void> {
  const { src, client } = testbed.hosts;
  const guestShutDown = source.waitForEvent(isShutdown, { timeoutMs, signal });
  guestShutDown.catch(() => undefined); // the command may fail first
  await runSql(client, server, statement);
  await confirmShutdown(guestShutDown, src);
  await waitForVmEnd(src, timeoutMs);
}

const isShutdown = (event: QmpEvent): boolean => event.name === 'SHUTDOWN';

/** The guest turns itself off only when the server has ended well and the disk is written (guest/image/guest-init.sh). */
async function confirmShutdown(shutdown: Promise<QmpEvent>, src: Host): Promise<void> {
  try {
    const { reason } = (await shutdown).data;
    if (reason !== 'guest-shutdown')
      throw new CodedError('run', 'migration-failed', `QEMU gives the reason ${String(reason)}`);
  } catch (error) {
    throw new CodedError(
      'run',
      'migration-failed',
      `the source VM did not shut down cleanly: ${error instanceof Error ? error.message : String(error)}; its console:\n${await consoleTail(src)}`,
      { cause: error },
    );
  }
}
