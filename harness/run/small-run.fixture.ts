/** Whole runs with a VM that is as small as it can be, for lab tests. */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { ExecutionContext } from 'ava';
import { type Configuration, optionsSchema, resolveConfiguration } from '../../experiments/configuration.ts';
import { seconds } from '../../foundation/quantity.ts';
import type { NewRunEvent } from '../../record/event.ts';
import { type Manifest, readManifest } from '../../record/manifest.ts';
import type { Testbed } from '../testbed/host.ts';
import type { Inventory } from '../testbed/inventory/schema.ts';
import { clearLeftovers, waitForRoom } from '../testbed/local/lab-process.ts';
import { startLocalTestbed } from '../testbed/local/start.ts';
import { runExperiment } from './experiment.ts';
import type { RunLab } from './experiment-options.ts';

export const small = { vmMemory: 384, tableData: 60, before: 4, after: 4, maxTime: 120 };

/** A folder that goes with the test. */
export async function folder(t: ExecutionContext): Promise<string> {
  const made = await mkdtemp(path.join(os.tmpdir(), 'poolshift-test-'));
  t.teardown(() => rm(made, { recursive: true, force: true }));
  return made;
}

/** One lab for the runs of a file, whose links are measured once for each rate. */
export class RunsLab {
  readonly #testbed: Testbed;
  readonly #goodput = new Map<number, Manifest['goodputBytesPerSecond']>();

  private constructor(testbed: Testbed) {
    this.#testbed = testbed;
  }

  /** Once there is room for it, and without what a killed one has left. */
  static async start(t: ExecutionContext, owner: string): Promise<RunsLab> {
    const log = (line: string): void => {
      t.log(line);
    };
    await waitForRoom(log);
    await clearLeftovers();
    const rates = { migration: undefined, storage: undefined, service: undefined };
    return new RunsLab(await startLocalTestbed({ rates, keep: () => false, owner, log }));
  }

  at({ linkBitsPerSecond }: Configuration): RunLab {
    return { testbed: this.#testbed, goodputBytesPerSecond: this.#goodput.get(linkBitsPerSecond) };
  }

  /** Takes over what a run has measured. */
  learn({ configuration, goodputBytesPerSecond }: Manifest): void {
    this.#goodput.set(configuration.linkBitsPerSecond, goodputBytesPerSecond);
  }

  get hosts(): Testbed['hosts'] {
    return this.#testbed.hosts;
  }

  close(): Promise<void> {
    return this.#testbed.close();
  }
}

interface RunChanges {
  /** Done to the lab when that step begins. */
  readonly at?: { readonly step: string; readonly act: () => Promise<void> };
  /** The run is interrupted as by Ctrl-C at the first event for which this is true. */
  readonly interruptAt?: (event: NewRunEvent, vm: number | undefined) => boolean;
  readonly inventory?: Inventory;
  /** Default: a lab of its own. */
  readonly lab?: RunsLab;
}

/** Runs it, and logs what is of interest when the test fails. */
export async function run(
  t: ExecutionContext,
  options: object,
  { at, interruptAt, inventory, lab }: RunChanges = {},
) {
  t.timeout(60 * 60_000);
  const stepTimes: string[] = [];
  const interrupt = new AbortController();
  const configuration = resolveConfiguration(optionsSchema.parse({ ...small, ...options }));
  const result = await runExperiment({
    configuration,
    inventory,
    lab: lab?.at(configuration),
    repeat: 1,
    runId: 'test',
    folder: path.join(await folder(t), 'run'),
    keep: false,
    keepOnFailure: false,
    owner: 'a lab test',
    signal: interrupt.signal,
    onEvent: (event, vm) => {
      if (interruptAt?.(event, vm) === true) interrupt.abort(new Error('interrupted by the test'));
      if (event.event === 'step-started' && event.step === at?.step) void at.act();
      if (event.event === 'step-ended') stepTimes.push(`${event.step} ${seconds(event.duration_ms)}`);
      if (event.event === 'step-failed' || event.event === 'check' || event.event === 'engine')
        t.log(JSON.stringify(event));
    },
  });
  if (result.row !== undefined) lab?.learn(await readManifest(result.folder));
  t.log(stepTimes.join(', '));
  for (const { row } of result.vms) t.log(result.outcome, result.reason ?? '', JSON.stringify(row));
  return result;
}

/**
 * Whether it completed, and no check failed but the one that a busy machine fails by itself: that the guest was never without answer for
 * long before the switchover.
 */
export function hasCompleted({ outcome, reason }: Awaited<ReturnType<typeof run>>): boolean {
  return outcome === 'completed' || /^checks failed: source-answers( of VM \d)?$/.test(reason ?? '');
}
