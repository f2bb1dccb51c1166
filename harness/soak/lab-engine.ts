/** An engine on a host of the lab, as injector, manager and checker see it. */
import { constants } from 'node:os';
import type { EngineEvent } from '../../engine/core/engine-event.ts';
import { EngineOutput } from '../run/migration/engine-output.ts';
import type { Host, HostProcess } from '../testbed/host.ts';
import type { EngineHistory, SoakEvent } from './history.ts';
import type { HostShell } from './host-shell.ts';
import type { ManagedEngine } from './manager.ts';

/** A shell gives a command that a signal has ended this and the signal's number. */
const signalled = 128;
/** The engine's own status after a signal that it has heeded. */
const interruptedStatus = 130;
/** An event may come at any time of a run. */
const noLimitMs = 2 ** 31 - 1;

interface LabEngineOptions {
  readonly host: Host;
  readonly shell: HostShell;
  /** The engine with its arguments, as a shell command. */
  readonly command: string;
  /** Where its process id is written. */
  readonly pidFile: string;
}

export class LabEngine implements ManagedEngine {
  readonly events: SoakEvent[] = [];
  readonly ended: Promise<void>;
  readonly #output: EngineOutput;
  readonly #process: HostProcess;
  readonly #shell: HostShell;
  readonly #pidFile: string;
  #end: EngineHistory['end'] = 'limit';

  constructor({ host, shell, command, pidFile }: LabEngineOptions) {
    this.#shell = shell;
    this.#pidFile = pidFile;
    // The shell outlives it, to tell how it has ended.
    this.#process = host.spawn(`(echo $BASHPID > ${pidFile}; exec ${command}); echo "ended $?"`);
    this.#output = new EngineOutput(host.name, this.#process, {
      event: (event) => {
        if (event.event === 'engine') {
          const { code, reason } = event.fields;
          this.events.push({
            event: event.name,
            atMs: event.at_ms,
            ...(code !== undefined ? { code } : {}),
            ...(reason !== undefined ? { reason } : {}),
          });
        }
        if (event.event === 'output') this.#take(event.text);
      },
      sample: () => undefined,
    });
    this.ended = this.#output.ended;
  }

  /** Waits for the first event of this name. @throws CodedError 'run', 'migration-failed' when the engine ends before */
  async event(name: EngineEvent['event'], withinMs = noLimitMs): Promise<void> {
    await this.#output.waitFor(name, withinMs);
  }

  /** Whether there was a process to send it to. */
  signal(signal: NodeJS.Signals): Promise<boolean> {
    return this.#shell.run(`kill -${signal.replace('SIG', '')} $(cat ${this.#pidFile})`);
  }

  kill(signal: NodeJS.Signals): void {
    void this.signal(signal);
  }

  async stop(): Promise<void> {
    await this.#process.stop();
  }

  /** How it has ended, or that it is there. */
  get end(): EngineHistory['end'] {
    return this.#end;
  }

  /** The end of its standard error. One that is still there is ended. */
  async errors(): Promise<string> {
    await this.stop();
    return (await this.#process.ended).stderrTail;
  }

  #take(line: string): void {
    const status = /^ended (\d+)$/.exec(line)?.[1];
    if (status === undefined) return;
    const code = Number(status);
    const signal = Object.entries(constants.signals).find(([, number]) => number === code - signalled)?.[0];
    this.#end = code === interruptedStatus || signal === undefined ? code : (signal as NodeJS.Signals);
  }
}
