/** The small form: two QEMUs of 48 or 64 MiB whose guest is a loop, some seconds a run. */
import { faultName, momentName, type SmallPlan } from './plan.ts';
import type { SoakForm } from './campaign.ts';
import { runSmall, type SmallRunTools } from './small-run.ts';

/** @param planOf the run of a seed */
export function smallForm(
  tools: SmallRunTools,
  parallel: number,
  planOf: (seed: number) => SmallPlan,
): SoakForm {
  return {
    vm: 'small',
    parallel,
    run: async (seed, signal) => {
      const plan = planOf(seed);
      const history = await runSmall(plan, tools, signal);
      const { guest, list, capabilities, strategy, compress, listAt, leaveOut, storage, target, qemu } = plan;
      return {
        fault: faultName(plan),
        moment: momentName(plan),
        plan,
        history,
        ...(history.differingPages === undefined ? {} : { pagesCompared: plan.ramBytes / 4096 }),
        settings: {
          ...{ guest, list, capabilities, strategy, compress, listAt, leaveOut, target },
          ramMiB: plan.ramBytes / 2 ** 20,
          storage: storage.kind === 'nbd' ? `nbd ${storage.bytesPerSecond / 2 ** 20} MiB/s` : 'file',
          qemu: qemu % tools.qemus.length,
        },
      };
    },
  };
}
