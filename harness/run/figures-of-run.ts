/** The rows of a run that has ended: without them it is no result, whatever became of its VMs. */
import { derive } from '../../record/derive/derive.ts';
import type { runOutcomes } from '../../record/event.ts';
import type { RunRow } from '../../record/run-columns.ts';
import { whatIsWrong } from '../../record/what-is-wrong.ts';

interface Ended {
  readonly outcome: (typeof runOutcomes)[number];
  /** Why it is not `completed`. */
  readonly reason: string | undefined;
}

interface WithFigures extends Ended {
  /** Of each VM, in order. */
  readonly vms: readonly { readonly folder: string; readonly row: RunRow | undefined }[];
}

/** @param folders of the run's VMs */
export async function withFigures(ended: Ended, folders: readonly string[]): Promise<WithFigures> {
  const vms = [];
  let failure: string | undefined;
  for (const folder of folders) {
    const row = await derive(folder).catch((error: unknown) => {
      failure ??= whatIsWrong(error);
      return undefined;
    });
    vms.push({ folder, row });
  }
  // A run that failed before its manifest was written has nothing to derive from.
  const isLost = failure !== undefined && ['completed', 'not-converged'].includes(ended.outcome);
  return isLost
    ? { outcome: 'failed', reason: `its figures could not be made: ${failure ?? ''}`, vms }
    : { ...ended, vms };
}
