/** One VM of a run. */
import type { RunLog } from '../../record/run-log.ts';
import type { VmPlace } from '../vm/vm-place.ts';
import type { DatabaseServer } from '../workload/database-server.ts';
import type { Checks } from './checks.ts';
import type { DiskPlace } from './disk-place.ts';
import type { RunWatch } from './run-watch.ts';

/** As it is before there is a testbed. */
export interface RecordedVm {
  readonly place: VmPlace;
  /** What is of this VM; what is of the run or its hosts is in each. */
  readonly log: RunLog;
  readonly watch: RunWatch;
}

export interface RunVm extends RecordedVm {
  /** In the VM. */
  readonly server: DatabaseServer;
  readonly disk: DiskPlace;
  readonly checks: Checks;
}
