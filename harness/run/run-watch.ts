/**
 * What ends a run at once: its VM, its database server or its load is gone, and what would be measured then means nothing; or its
 * record cannot be written.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '../../foundation/coded-error.ts';
import type { NewRunEvent } from '../../record/event.ts';
import type { RunLog } from '../../record/run-log.ts';
import { whatIsWrong } from '../../record/what-is-wrong.ts';
import type { QmpClient } from '../../qemu/qmp/client.ts';
import { nowMs } from '../probes/wall-clock.ts';
import type { VmState } from '../vm/machine.ts';
import { sysbenchName } from './intake.ts';

type Gone = Extract<CodedError<'run'>['code'], 'vm-gone' | 'server-gone' | 'load-stopped'>;

/** Reasons of QEMU's event SHUTDOWN (qapi/run-state.json, ShutdownCause). Machines run with -no-reboot. */
const shutdownReasons: Readonly<Record<string, string>> = {
  'guest-reset': 'the guest reset itself (it rebooted, or its kernel gave up), which ends its QEMU',
  'guest-shutdown': 'the guest shut itself down',
  'guest-panic': 'the guest’s kernel panicked',
  'host-qmp-quit': 'its QEMU was told to quit',
  'host-signal': 'its QEMU was ended by a signal',
  'host-error': 'its QEMU ended with an error',
};

/** A QEMU whose end its host's systemd has not seen yet. */
const seenAfterMs = 2000;

/** What a lost connection to a QEMU that said nothing means: that it has ended, or that it or its host cannot be reached. */
async function meaningOfLoss(host: string, state: () => Promise<VmState>): Promise<string> {
  const untilMs = Date.now() + seenAfterMs;
  try {
    while ((await state()).kind === 'running') {
      if (Date.now() > untilMs) return 'is out of reach: the connection to its QEMU broke, which runs on';
      await sleep(100);
    }
  } catch (error) {
    return `is out of reach: its host cannot be asked: ${(error as Error).message}`;
  }
  return `is gone: its QEMU ended without a word, as one that is killed does ${seeConsole(host)}`;
}

const seeConsole = (host: string): string => `(logs/console-${host}.log has what it said)`;

export class RunWatch {
  readonly #log: Pick<RunLog, 'event'>;
  readonly #name: string;
  readonly #gone = new AbortController();
  #vm: QmpClient | undefined;
  #serverMayGo = false;
  #loadSaid = '';

  /** @param name of the VM in what is said of it */
  constructor(log: Pick<RunLog, 'event' | 'onEvent' | 'onFailure'>, name = 'the VM') {
    this.#log = log;
    this.#name = name;
    log.onEvent((event) => {
      this.#take(event);
    });
    log.onFailure((error) => {
      this.#gone.abort(new CodedError('record', error.code, whatIsWrong(error)));
    });
  }

  /** Aborts with what is gone, as a CodedError 'run'; with a CodedError 'record' where it cannot be recorded. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /**
   * Has the VM watched that the run depends on, in place of the one before.
   * @param state asks its host
   */
  vm(host: 'src' | 'dst', qemu: QmpClient, state: () => Promise<VmState>): void {
    this.#vm = qemu;
    let why: string | undefined;
    qemu.onEvent(({ name, data }) => {
      const { reason } = data;
      if (name === 'SHUTDOWN' && typeof reason === 'string')
        why = shutdownReasons[reason] ?? `its QEMU ended: ${reason}`;
    });
    qemu.onLoss(() => {
      if (this.#vm !== qemu) return;
      const lost = (how: string): void => {
        this.#end('vm-gone', `${this.#name} on ${host} ${how}`);
      };
      if (why === undefined) void meaningOfLoss(host, state).then(lost);
      else lost(`is gone: ${why} ${seeConsole(host)}`);
    });
  }

  /** The VM may end from now on. */
  vmMayGo(): void {
    this.#vm = undefined;
  }

  /** The server is stopped on purpose from now on. */
  serverMayGo(): void {
    this.#serverMayGo = true;
  }

  #take(event: NewRunEvent): void {
    if (event.event === 'output' && event.name === sysbenchName && event.text.startsWith('FATAL'))
      this.#loadSaid = event.text;
    if (event.event === 'workload-ended' && event.end === 'by-itself') this.#loadStopped(event);
    // Nobody listens, but somebody says so.
    if (
      event.event === 'connection' &&
      event.state === 'lost' &&
      event.detail.includes('ECONNREFUSED') &&
      !this.#serverMayGo
    )
      this.#end(
        'server-gone',
        `the database server in ${this.#name} is gone: the guest answers and refuses connections (${event.detail})`,
      );
  }

  #loadStopped({ exit_code, signal }: Extract<NewRunEvent, { event: 'workload-ended' }>): void {
    const how = exit_code === null ? (signal ?? 'no status') : `exit code ${exit_code}`;
    const said = this.#loadSaid === '' ? '' : `, ${this.#loadSaid}`;
    const text = `the load has stopped: sysbench ended by itself (${how}${said})`;
    this.#log.event({ event: 'check', at_ms: nowMs(), name: 'load', ok: false, detail: text, figures: {} });
    this.#end('load-stopped', text);
  }

  #end(code: Gone, message: string): void {
    this.#gone.abort(new CodedError('run', code, message));
  }
}
