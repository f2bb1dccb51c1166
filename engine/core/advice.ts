/** What to do about an end that an engine cannot see through: which host to look at, and with which command. */
import type { QemuEnd, SourceVm } from './source-switchover.ts';

const lookAtTarget =
  'Ask the target QEMU on the destination host: {"execute": "query-migrate"} and {"execute": "query-status"} (libvirt: virsh ' +
  'domstate). It has the VM if it says "completed", or "running" or "paused".';

/** Early resume: brings what the target's VM lacks. */
const recoverIt =
  'run "poolshift recover" where "poolshift migrate" was; or tell the target QEMU {"execute": "migrate-recover", "arguments": {"uri": "unix:PATH"}}, ' +
  'bring its socket to the source host (ssh -L PATH:PATH), and run "poolshift-engine recover" there';

/** The source's QEMU waits, its VM stopped, as long as the source engine runs. */
const sourceWaits =
  `${lookAtTarget} Then tell the QEMU here, which is stopped as long as this program runs: {"execute": "quit"} if the target ` +
  'has it; {"execute": "migrate_cancel"} if not, and the VM goes on here.';

/** The source's QEMU has ended its migration by itself, and its VM may run. */
const bothMayRun =
  'The QEMU here ended its migration by itself: ask it {"execute": "query-status"}. ' +
  `If its VM runs, {"execute": "quit"} the target QEMU AT ONCE, which may have the VM as well. If not: ${lookAtTarget}`;

/** The source's QEMU has completed, its VM stopped. */
const sourceCompleted = `${lookAtTarget} If it does not have the VM, {"execute": "cont"} lets it go on here, where QEMU keeps it stopped.`;

/** In early resume the target's VM may lack what only the source has. */
const recoverTarget = `Where the target says "postcopy-paused" in query-migrate it has the VM, without some of its pages: ${recoverIt}. When the target has everything, {"execute": "quit"} the QEMU here.`;

/** As `sourceWaits`, in early resume, where QEMU has sent its package and cannot be told to cancel. */
const sourceWaitsEarly =
  `${lookAtTarget} If it has it, continue it there, and never here, and keep the QEMU here, which has the pages that may be missing there. ${recoverTarget} ` +
  'If the target has ended without the VM, kill -9 this program, which refuses other signals: where the QEMU here ' +
  'says "failed" in query-migrate then, {"execute": "cont"} lets the VM go on here; where it says "postcopy-paused" (QEMU before 10.2) it cannot: ' +
  '{"execute": "quit"} it, and start the VM anew from its disk, as after a power failure.';

/** As `bothMayRun`, in early resume. */
const bothMayRunEarly = `${bothMayRun} If the target has it, keep the QEMU here, if it is there, which has the pages that may be missing there. ${recoverTarget}`;

/** For the source engine in doubt, by what its QEMU does. */
export function inDoubtAtSource(qemu: QemuEnd, isEarly: boolean): string {
  switch (qemu) {
    case 'waits':
      return isEarly ? sourceWaitsEarly : sourceWaits;
    case 'closed-early':
      return isEarly ? bothMayRunEarly : bothMayRun;
    case 'completes':
    case 'completed':
      return sourceCompleted;
  }
}

const lookHere =
  'Ask the target QEMU here: {"execute": "query-migrate"} and {"execute": "query-status"} (libvirt: virsh domstate).';
const endedHere = 'If it has ended, the VM is at the source.';

export function inDoubtAtDestination(isEarly: boolean): string {
  if (!isEarly) {
    return `${lookHere} If it has the VM, see that the QEMU of the source host does not run it as well. ${endedHere}`;
  }
  return (
    `${lookHere} If it has the VM, the QEMU of the source host must not run it, and is to be kept: it has the pages that may be missing here. ` +
    `Where the target says "postcopy-paused" in query-migrate, ${recoverIt}. ${endedHere}`
  );
}

/** Where the VM at the source does not run on by itself, or may not. */
export const sourceVmAdvice: Readonly<Record<SourceVm, string | undefined>> = {
  'runs-on': undefined,
  stopped:
    'The QEMU here has taken the migration for completed and keeps the VM stopped: {"execute": "cont"} lets it go on here.',
  'runs-on-or-stopped':
    'Without return-path QEMU may have taken the migration for completed: where {"execute": "query-status"} says ' +
    '"postmigrate", {"execute": "cont"} lets the VM go on here.',
  'package-failed':
    'The VM may have stopped here. Where {"execute": "query-migrate"} says "failed" or "cancelled", {"execute": "cont"} lets it go on; ' +
    'QEMU before 10.2 may say "postcopy-paused", and then it can go on only by a recovery at another target.',
};

export const leftBehind =
  'The VM is at the destination and waits there for pages that only this host has. NEVER continue it here, and keep the QEMU here, which has ' +
  `them. If storage has all of them, the destination engine goes on by itself, and the target's {"execute": "query-migrate"} says "completed" ` +
  `in the end. Else, to bring them there, ${recoverIt}. When the target has everything, {"execute": "quit"} the QEMU here.`;

export const incompleteAtDestination =
  'The VM is here and stops wherever it touches a page that is missing. The QEMU of the source host, which must not run it, has them: ' +
  `${recoverIt}. If that QEMU is gone, and PATH.recovery stands beside the target's socket here, "poolshift-engine recover" with it, here, brings what ` +
  'storage has. Else {"execute": "quit"} this one and start the VM anew from its disk, as after a power failure.';

export const recoveryFailed =
  'The target QEMU is where it was before: it waits for another recovery when it is told "migrate-recover" again. NEVER continue the VM at the source.';

/** After a recovery from storage. */
export const storageLacks =
  'The target QEMU has what storage has, and waits for another recovery when it is told "migrate-recover" again: from the QEMU of the source host, ' +
  'if it is there, which must not run the VM (the file is there, beside the socket of its engine). Else {"execute": "quit"} this one and start the VM anew from its disk, ' +
  'as after a power failure.';

export const signalRefused =
  'the switchover is under way, and ending this now could leave two VMs running. It ends by itself, or says what to look at.';

/** What both engines warn of. */
export const postcopyBegun = {
  code: 'post-copy',
  reason:
    'QEMU has started post-copy: what follows is passed through, and the VM lives at the destination as long as this program and the source do',
} as const;
