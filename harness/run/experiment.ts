/**
 * One run, from nothing to a result folder: prepare, boot, warm, load, migrate, load, check, record, tear down. The
 * steps are in run-steps.ts; here is what surrounds them: record, outcome, undo.
 */
import path from 'node:path';
import { isCoded } from '../../foundation/coded-error.ts';
import { nowMs } from '../probes/wall-clock.ts';
import type { runOutcomes } from '../../record/event.ts';
import type { RunRow } from '../../record/run-columns.ts';
import { RunLog } from '../../record/run-log.ts';
import { nameOfVm } from '../../record/run-vms.ts';
import { type VmPlace, vmPlaces } from '../vm/vm-place.ts';
import type { ExperimentOptions } from './experiment-options.ts';
import { withFigures } from './figures-of-run.ts';
import { runSteps } from './run-steps.ts';
import { RunWatch } from './run-watch.ts';
import type { RecordedVm } from './run-vm.ts';
import { SharedLog } from './shared-log.ts';
import { Steps, together } from './steps.ts';

export interface ExperimentResult {
  /** Of the first VM. */
  readonly folder: string;
  /** `skipped`: the QEMUs of the hosts cannot do what the engine asks for; nothing was measured. */
  readonly outcome: (typeof runOutcomes)[number];
  /** Why it is not `completed`. */
  readonly reason: string | undefined;
  /** Of the first VM. */
  readonly row: RunRow | undefined;
  /** Of each VM, in order. */
  readonly vms: readonly { readonly folder: string; readonly row: RunRow | undefined }[];
}

/**
 * Runs the experiment. Never throws for what happens in the run: that is the outcome, and it is recorded.
 * @throws CodedError 'record' `not-writable` if it could not be recorded, when everything is taken down
 */
export async function runExperiment(options: ExperimentOptions): Promise<ExperimentResult> {
  const { folder, signal, configuration } = options;
  const record = async (place: VmPlace): Promise<RecordedVm> => {
    const ownFolder = nameOfVm(folder, place.index);
    const own = await RunLog.create(ownFolder);
    const name = configuration.vms === undefined ? undefined : `VM ${place.index}`;
    return { place, log: own, watch: new RunWatch(own, name) };
  };
  const recorded = await together(vmPlaces.slice(0, configuration.vms ?? 1), record);
  const log = new SharedLog(recorded.map((vm) => vm.log));
  log.onEvent(options.onEvent);
  if (options.onSample !== undefined) recorded[0]?.log.onSample(options.onSample);
  log.event({ event: 'run-started', at_ms: nowMs(), run_id: options.runId });

  const either = AbortSignal.any([signal, ...recorded.map(({ watch }) => watch.signal)]);
  const steps = new Steps({
    signal: either,
    onStep: (step, outcome) => {
      const at_ms = nowMs();
      if (outcome.kind === 'started') log.event({ event: 'step-started', at_ms, step });
      else if (outcome.kind === 'ended')
        log.event({ event: 'step-ended', at_ms, step, duration_ms: outcome.durationMs });
      else {
        const { error, durationMs: duration_ms } = outcome;
        const message = error instanceof Error ? error.message : String(error);
        log.event({ event: 'step-failed', at_ms, step, duration_ms, message });
      }
    },
  });

  let outcome: ExperimentResult['outcome'] = 'failed';
  let reason: string | undefined;
  let keepLab = options.keep;
  try {
    const { converged, failedChecks } = await runSteps({
      ...options,
      signal: either,
      log,
      recorded,
      steps,
      keepsLab: () => keepLab,
    });
    if (failedChecks.length > 0) reason = `checks failed: ${failedChecks.join(', ')}`;
    else outcome = converged ? 'completed' : 'not-converged';
    if (!converged && reason === undefined) reason = 'the migration did not complete within --max-time';
  } catch (error) {
    reason = error instanceof Error ? error.message : String(error);
    if (isCoded(error, 'run', 'step-failed') && isCoded(error.cause, 'run', 'engine-unavailable')) {
      outcome = 'skipped';
      reason = error.cause.message;
    } else outcome = signal.aborted ? 'aborted' : 'failed';
  }
  if (outcome === 'failed' && options.keepOnFailure) keepLab = true;
  for (const error of await steps.undoAll()) {
    outcome = outcome === 'aborted' ? outcome : 'failed';
    reason = [reason, error.message].filter((text) => text !== undefined).join('; ');
  }
  log.event({ event: 'run-ended', at_ms: nowMs(), outcome, ...(reason === undefined ? {} : { reason }) });
  await together(recorded, (vm) => vm.log.close());
  const folders = recorded.map((vm) => path.resolve(vm.log.folder));
  const ended = await withFigures({ outcome, reason }, folders);
  return { folder: path.resolve(folder), ...ended, row: ended.vms[0]?.row };
}
