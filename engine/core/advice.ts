/** What to do about an end that an engine cannot see through: which host to look at, and with which command. */

const lookAtTarget =
  'Ask the target QEMU on the destination host: {"execute": "query-migrate"} and {"execute": "query-status"} (libvirt: virsh ' +
  'domstate). It has the VM if it says "completed", or "running" or "paused".';

/** The source's QEMU waits, its VM stopped, as long as the source engine runs. */
export const inDoubtAtSource =
  `${lookAtTarget} Then tell the QEMU here, which is stopped as long as this program runs: {"execute": "quit"} if the target ` +
  'has it; {"execute": "migrate_cancel"} if not, and the VM goes on here.';

/** The source's QEMU has ended its migration by itself, and its VM may run. */
export const inDoubtBothMayRun =
  'The QEMU here ended its migration by itself: ask it {"execute": "query-status"}. ' +
  `If its VM runs, {"execute": "quit"} the target QEMU AT ONCE, which may have the VM as well. If not: ${lookAtTarget}`;

/** The source's QEMU has completed, its VM stopped. */
export const inDoubtSourceCompleted = `${lookAtTarget} If it does not have the VM, {"execute": "cont"} lets it go on here, where QEMU keeps it stopped.`;

export const inDoubtAtDestination =
  'Ask the target QEMU here: {"execute": "query-migrate"} and {"execute": "query-status"} (libvirt: virsh domstate). If it has ' +
  'the VM, see that the QEMU of the source host does not run it as well; if it has ended, the VM is at the source.';

export const sourceVmStopped =
  'The QEMU here has taken the migration for completed and keeps the VM stopped: {"execute": "cont"} lets it go on here.';

export const sourceVmRunsOrStopped =
  'Without return-path QEMU may have taken the migration for completed: where {"execute": "query-status"} says ' +
  '"postmigrate", {"execute": "cont"} lets the VM go on here.';

export const signalRefused =
  'the switchover is under way, and ending this now could leave two VMs running. It ends by itself, or says what to look at.';
