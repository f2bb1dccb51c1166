/** Whole runs with a VM that is as small as it can be, for lab tests. */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { ExecutionContext } from 'ava';
import { optionsSchema, resolveConfiguration } from '../../experiments/configuration.ts';
import type { Inventory } from '../testbed/inventory/schema.ts';
import { runExperiment } from './experiment.ts';

export const small = { vmMemory: 384, tableData: 60, before: 6, after: 6, maxTime: 120 };

/** A folder that goes with the test. */
export async function folder(t: ExecutionContext): Promise<string> {
  const made = await mkdtemp(path.join(os.tmpdir(), 'poolshift-test-'));
  t.teardown(() => rm(made, { recursive: true, force: true }));
  return made;
}

interface RunChanges {
  /** Done to the lab when the source VM is up and its pool is being warmed. */
  readonly atWarmUp?: () => Promise<void>;
  readonly inventory?: Inventory;
}

/** Runs it, and logs what is of interest when the test fails. */
export async function run(t: ExecutionContext, options: object, { atWarmUp, inventory }: RunChanges = {}) {
  t.timeout(20 * 60_000);
  const result = await runExperiment({
    configuration: resolveConfiguration(optionsSchema.parse({ ...small, ...options })),
    inventory,
    repeat: 1,
    runId: 'test',
    folder: path.join(await folder(t), 'run'),
    keep: false,
    keepOnFailure: false,
    owner: 'a lab test',
    signal: new AbortController().signal,
    onEvent: (event) => {
      if (event.event === 'step-started' && event.step === 'warm the pool') void atWarmUp?.();
      if (event.event === 'step-failed' || event.event === 'check' || event.event === 'engine')
        t.log(JSON.stringify(event));
    },
  });
  t.log(result.outcome, result.reason ?? '', JSON.stringify(result.row));
  return result;
}
