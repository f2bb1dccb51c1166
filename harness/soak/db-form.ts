/** The form with a database: a MariaDB guest in the lab, one run after the other. */
import { untilAborted } from '../run/steps.ts';
import { consoleTail, qemuOutput } from '../vm/machine.ts';
import type { SoakForm } from './campaign.ts';
import { DbLab, type DbLabOptions, dbMemoryBytes } from './db-lab.ts';
import { dbPlan } from './db-plan.ts';
import { runDb } from './db-run.ts';
import { faultName, momentName } from './plan.ts';

interface DbForm extends SoakForm {
  /** Takes the lab down. Idempotent. */
  close(): Promise<void>;
}

/** The lab comes up with the first run, and anew after one that could not be made. */
export function dbForm(options: DbLabOptions): DbForm {
  let opened: Promise<DbLab> | undefined;
  const close = async (): Promise<void> => {
    const lab = await opened?.catch(() => undefined);
    opened = undefined;
    await lab?.close();
  };
  return {
    vm: 'db',
    parallel: 1,
    close,
    run: async (seed, signal) => {
      const plan = dbPlan(seed);
      try {
        const lab = await (opened ??= DbLab.open(options));
        const history = await untilAborted(runDb(plan, lab, signal), signal);
        const { strategy, compress, listAt, leaveOut, capabilities, ram, rateTps } = plan;
        return {
          fault: faultName(plan),
          moment: momentName(plan),
          plan,
          history,
          ...(history.differingPages === undefined ? {} : { pagesCompared: dbMemoryBytes / 4096 }),
          settings: { strategy, compress, listAt, leaveOut, capabilities, ram, rateTps },
          logs: async () => {
            const logs: Record<string, string> = {};
            for (const name of ['src', 'dst'] as const) {
              const host = lab.testbed.hosts[name];
              logs[`console-${name}`] = await consoleTail(host, 500);
              logs[`qemu-${name}`] = await qemuOutput(host);
            }
            return logs;
          },
        };
      } catch (error) {
        await close();
        throw error;
      }
    },
  };
}
