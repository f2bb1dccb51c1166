/**
 * What ends a run at once: its VM, its database server or its load is gone, and what would be measured then means nothing; or its
 * record cannot be written.
 */
import { CodedError } from '../../foundation/coded-error.ts';
import type { NewRunEvent } from '../../record/event.ts';
import type { RunLog } from '../../record/run-log.ts';
import { whatIsWrong } from '../../record/what-is-wrong.ts';
import type { QmpClient } from '../../qemu/qmp/client.ts';
import { nowMs } from '../probes/wall-clock.ts';
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

  /** Has the VM watched that the run depends on, in place of the one before; none where it may end. */
  vm(host: 'src' | 'dst', qemu: QmpClient | undefined): void {
    this.#vm = qemu;
    if (qemu === undefined) return;
    let why: string | undefined;
    qemu.onEvent(({ name, data }) => {
      const { reason } = data;
      if (name === 'SHUTDOWN' && typeof reason === 'string')
        why = shutdownReasons[reason] ?? `its QEMU ended: ${reason}`;
    });
    qemu.onLoss(() => {
      if (this.#vm !== qemu) return;
      const said = why ?? 'its QEMU ended without a word, as one that is killed does';
      this.#end(
        'vm-gone',
        `${this.#name} on ${host} is gone: ${said} (logs/console-${host}.log has what it said)`,
      );
    });
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
