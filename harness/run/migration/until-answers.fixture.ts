/** Waiting for the guest's server. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from '../../testbed/host.ts';
import { mariadbGuest } from '../../vm/guest.fixture.ts';
import { firstVm } from '../../vm/vm-place.ts';
import type { DatabaseServer } from '../../workload/database-server.ts';
import { runSql } from '../../workload/sql-client.ts';

/** Asks until the server answers. */
export async function untilAnswers(
  client: Host,
  vmHost: Host,
  server: DatabaseServer = mariadbGuest,
): Promise<void> {
  const deadlineMs = performance.now() + 600_000;
  for (;;) {
    try {
      await runSql(client, server, 'SELECT 1', { timeoutMs: 5000 });
      return;
    } catch (error) {
      if (performance.now() < deadlineMs) {
        // Each try is half a dozen processes, beside a guest that boots.
        await sleep(1000);
        continue;
      }
      const { stdout } = await vmHost.run(`tail -n 20 ${firstVm.machine.paths.console}`);
      throw new Error(`the server does not answer; the guest's console:\n${stdout}`, { cause: error });
    }
  }
}
