/** What QEMU is told so that a VM runs at its destination before all of its memory is there (docs/early-resume.md). */
import type { MigrationParameters } from './messages.ts';

/**
 * QEMU before 10.2 ends as pre-copy where what is left fits into the downtime: for early resume that is less than a page
 * (migration/migration.c, migration_iteration_run).
 */
export const postcopyAlways: MigrationParameters = {
  'downtime-limit': 1,
  'avail-switchover-bandwidth': 4_096_000,
};
