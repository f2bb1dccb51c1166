/** What QEMU is told so that a VM runs at its destination before all of its memory is there (docs/engine.md, Early resume). */
import { setTimeout as sleep } from 'node:timers/promises';
import type { QmpClient } from './client.ts';
import type { MigrationParameters } from './messages.ts';

/**
 * QEMU before 10.2 ends as pre-copy where what is left fits into the downtime: for early resume that is less than a page
 * (migration/migration.c, migration_iteration_run).
 */
export const postcopyAlways: MigrationParameters = {
  'downtime-limit': 1,
  'avail-switchover-bandwidth': 4_096_000,
};

/** QEMU sends a page in each of its tenths of a second, so that something is left (migration/migration.c, XFER_LIMIT_RATIO). */
const slowBytesPerSecond = 40_960;
const waitMs = 1000;

/**
 * Stops the VM that may move, so that QEMU hands it over when the engine lets it. QEMU before 10.2 ends as pre-copy when it has
 * nothing left to send, and cannot recover a migration that breaks after that: a VM that runs dirties pages, which it may send
 * only slowly from now on. It goes over to post-copy at its full speed.
 */
export async function stopForMove(source: Pick<QmpClient, 'execute'>): Promise<void> {
  await source.execute('migrate-set-parameters', { 'max-bandwidth': slowBytesPerSecond });
  const untilMs = performance.now() + waitMs;
  while (performance.now() < untilMs) {
    const { ram } = await source.execute('query-migrate');
    if ((ram?.remaining ?? 0) > 0) break;
    await sleep(5);
  }
  await source.execute('stop');
}
