/** The recorders of a run: started as hosts and VMs come up, stopped in good order so that their last reports arrive. */
import type { CodedError } from '../../foundation/coded-error.ts';
import type { ProbeConfig } from '../probes/report.ts';
import { type Recorder, startRecorder } from '../probes/recorder-process.ts';
import { nowMs } from '../probes/wall-clock.ts';
import { Intake } from './intake.ts';
import type { Log } from '../../record/event.ts';
import type { VmIndex } from '../vm/vm-place.ts';
import type { Host, HostName } from '../testbed/host.ts';

interface Running {
  readonly host: HostName;
  readonly recorder: Recorder;
}

export class Recorders {
  readonly #log: Log;
  readonly #intake: Intake;
  readonly #vmIntakes: readonly Intake[];
  readonly #programOn: (host: HostName) => Promise<string>;
  #running: Running[] = [];

  /**
   * @param log gets what is of the hosts
   * @param vmLogs get what is of one VM, by its index
   */
  constructor(log: Log, vmLogs: readonly Log[], programOn: (host: HostName) => Promise<string>) {
    this.#log = log;
    this.#intake = new Intake(log);
    this.#vmIntakes = vmLogs.map((vmLog) => new Intake(vmLog));
    this.#programOn = programOn;
  }

  /** @param vm whose probes they are; else they are the host's */
  async start(host: Host, probes: readonly ProbeConfig[], vm?: VmIndex): Promise<void> {
    const intake = (vm === undefined ? undefined : this.#vmIntakes[vm]) ?? this.#intake;
    const recorder = startRecorder(
      host,
      probes,
      (report) => {
        intake.take(host.name, report);
      },
      await this.#programOn(host.name),
    );
    this.#running.push({ host: host.name, recorder });
    void recorder.ended.then((error: CodedError<'recorder'> | undefined) => {
      // A run goes on without it, but its record must say so.
      if (error !== undefined)
        this.#log.event({ event: 'note', at_ms: nowMs(), host: host.name, text: error.message });
    });
  }

  /** Measures the clock of every host once, through its first recorder. */
  async measureClocks(): Promise<void> {
    const first = new Map<HostName, Recorder>();
    for (const { host, recorder } of this.#running) if (!first.has(host)) first.set(host, recorder);
    for (const [host, recorder] of first) {
      const { offsetMs: offset_ms, uncertaintyMs: uncertainty_ms } = await recorder.measureClock();
      this.#log.event({ event: 'clock-offset', at_ms: nowMs(), host, offset_ms, uncertainty_ms });
    }
  }

  /** Ends all but the first recorder of a host: load and probes, but not the host's counters. */
  async stopProbes(host: HostName): Promise<void> {
    const [, ...probes] = this.#running.filter((running) => running.host === host);
    this.#running = this.#running.filter((running) => !probes.includes(running));
    await Promise.all(probes.map(({ recorder }) => recorder.stop()));
  }

  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = [];
    await Promise.all(running.map(({ recorder }) => recorder.stop()));
  }
}
