/**
 * After Albatross (Das, Nishimura, Agrawal, El Abbadi, VLDB 2011), which moves the database and not the VM, over shared
 * storage: the VM at the destination has been booted beforehand, with a disk and an address of its own, and waits with its
 * server's program in memory. The source's disk is plugged into it when the source has ended; its server opens the data
 * directory there, and the proxy sends the clients to it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { RestartEngine } from '../../../experiments/engines.ts';
import { CodedError } from '../../../foundation/coded-error.ts';
import { type Disk, type MachineDescription, diskToPlugIn } from '../../../qemu/machine-arguments.ts';
import type { QmpClient } from '../../../qemu/qmp/client.ts';
import type { Host } from '../../testbed/host.ts';
import { consoleTail, parseBootSteps } from '../../vm/machine.ts';
import { addressOf, secondVm } from '../../vm/vm-place.ts';
import type { DatabaseServer } from '../../workload/database-server.ts';
import { runSql } from '../../workload/sql-client.ts';
import type { SqlProxy } from '../../workload/sql-proxy.ts';
import type { Successor } from './restart.ts';

const bootTimeoutMs = 180_000;

type Standby = NonNullable<RestartEngine['standby']>;

/** What the source has for the VM on standby. */
export function sourceChanges(standby: Standby | undefined): Partial<MachineDescription> {
  return standby === 'replica'
    ? {
        givesBackup: true,
        serverOptions: ['--log-bin', '--server-id=1', '--sync-binlog=1', '--binlog-format=ROW'],
      }
    : {};
}

/** What a VM on standby differs in from the source. */
export function standbyChanges(
  standby: Standby,
  source: MachineDescription,
  disk: Disk,
): Partial<MachineDescription> {
  return {
    role: 'source',
    standby,
    givesBackup: false,
    disk,
    guestAddress: addressOf(secondVm, source.guestAddress),
    macAddress: secondVm.machine.macAddress,
    serverOptions: [
      '--innodb-buffer-pool-load-at-startup=ON',
      ...(standby === 'replica' ? ['--server-id=2'] : []),
    ],
  };
}

/** Waits until it has booted (guest/image/guest-init.sh). @throws CodedError 'run' where it does not within three minutes */
export async function waitForStandby(host: Host, signal: AbortSignal): Promise<void> {
  const deadlineMs = performance.now() + bootTimeoutMs;
  while (!parseBootSteps(await consoleTail(host, 50)).some(({ what }) => what === 'standby')) {
    if (performance.now() > deadlineMs)
      throw new CodedError(
        'run',
        'migration-failed',
        `the standby VM on ${host.name} did not start waiting; its console:\n${await consoleTail(host)}`,
      );
    await sleep(200, undefined, { signal });
  }
}

/** @param disk of the source */
export function standbyVm(
  vm: QmpClient,
  disk: Disk,
  client: Host,
  server: DatabaseServer,
  proxy: SqlProxy,
): Successor {
  return {
    server,
    start: async () => {
      const { nodes, device } = diskToPlugIn(disk);
      for (const node of nodes) await vm.execute('blockdev-add', node);
      await vm.execute('device_add', device);
      return vm;
    },
    admitClients: async ({ whileLoading }) => {
      await runSql(client, server, `SET GLOBAL innodb_io_capacity = ${whileLoading}`);
      await proxy.switchOver();
    },
  };
}
