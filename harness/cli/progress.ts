/** Shows a run's events to people: one line each; steps and checks, not every QMP event. */
import { PatientOutput } from '../../foundation/patient-output.ts';
import { inSeconds, mebibytes, seconds as secondsText } from '../../foundation/quantity.ts';
import type { NewRunEvent, Sample } from '../../record/event.ts';
import { LiveFigures } from '../../record/live-figures.ts';
import type { ExperimentOptions } from '../run/experiment-options.ts';

interface ProgressOutput {
  write(text: string): unknown;
  /** A terminal gets one line that changes all the time, a file a line every few seconds of the migration. */
  readonly isTTY?: boolean;
  /** Of a terminal, which may be made wider or narrower at any time. */
  readonly columns?: number;
  /** False while it does not take what came before: what is out of date soon is then not written. */
  readonly hasRoom?: boolean;
}

const liveMs = { terminal: 500, plain: 10_000 };

let patient: PatientOutput | undefined;

/** A terminal that is stopped (Ctrl-S) must not hold a run up: its harness starts the VM at the destination. */
function standardError(): ProgressOutput {
  const output = (patient ??= new PatientOutput(process.stderr));
  return {
    isTTY: process.stderr.isTTY,
    get columns() {
      return process.stderr.columns;
    },
    get hasRoom() {
      return output.hasRoom;
    },
    write: (text) => {
      output.write(text);
    },
  };
}

/** Where a run's events go: with --json a line each to standard output, else to people. */
export function runOutput(
  json: boolean,
  stepSeconds: ReadonlyMap<string, number>,
): Required<Pick<ExperimentOptions, 'onEvent' | 'onSample'>> {
  const progress = new Progress(standardError(), stepSeconds);
  return {
    onEvent: (event, vm) => {
      if (json) console.log(JSON.stringify(vm === undefined ? event : { ...event, vm }));
      else progress.event(event, vm);
    },
    onSample: (sample) => {
      progress.sample(sample);
    },
  };
}

/** A reader of the event log, and of the samples, that prints lines. */
export class Progress {
  readonly #output: ProgressOutput;
  readonly #startMs = performance.now();
  readonly #stepSeconds: ReadonlyMap<string, number>;
  #live = new LiveFigures();
  #step: { readonly name: string; readonly startMs: number } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #openLine = false;

  /** @param stepSeconds length of steps that have a known one, for the time left */
  constructor(output: ProgressOutput, stepSeconds: ReadonlyMap<string, number> = new Map()) {
    this.#output = output;
    this.#stepSeconds = stepSeconds;
  }

  /** @param vm that it is of, where there are several; figures of the migration are the first's */
  event(event: NewRunEvent, vm?: number): void {
    const text = describe(event);
    if (text !== undefined) this.#line(vm === undefined ? text : `VM ${vm}: ${text}`);
    if (event.event === 'step-started') {
      // Figures of the step before say nothing of this one.
      this.#live = new LiveFigures();
      this.#step = { name: event.step, startMs: performance.now() };
    }
    if (vm === undefined || vm === 0) this.#live.event(event);
    const starts = this.#output.isTTY === true ? 'step-started' : 'migrate-command';
    if (event.event === starts) this.#startLive();
    // The step of the migration ends when the target runs or the migration has failed.
    if (event.event === 'step-ended' || event.event === 'step-failed' || event.event === 'run-ended')
      clearInterval(this.#timer);
  }

  sample(sample: Sample): void {
    this.#live.take(sample);
  }

  #startLive(): void {
    const terminal = this.#output.isTTY === true;
    clearInterval(this.#timer);
    this.#timer = setInterval(
      () => {
        const figures = this.#live.line;
        if (!terminal) {
          if (figures !== '') this.#line(figures);
          return;
        }
        if (this.#output.hasRoom === false) return;
        const parts = [this.#stepText(), ...figures.split(', ')].filter((part) => part !== '');
        this.#output.write(
          `\r${fitted([`${this.#time()}  ${parts[0] ?? ''}`, ...parts.slice(1)], this.#output.columns)}\u001b[K`,
        );
        this.#openLine = true;
      },
      terminal ? liveMs.terminal : liveMs.plain,
    );
  }

  /** "load before the migration: 12 s, about 18 s left" */
  #stepText(): string {
    if (this.#step === undefined) return '';
    const seconds = (performance.now() - this.#step.startMs) / 1000;
    const planned = this.#stepSeconds.get(this.#step.name);
    const left = planned === undefined ? '' : `, about ${Math.max(0, Math.ceil(planned - seconds))} s left`;
    return `${this.#step.name}: ${seconds.toFixed(0)} s${left}`;
  }

  #line(text: string): void {
    this.#output.write(`${this.#openLine ? '\r\u001b[K' : ''}${this.#time()}  ${text}\n`);
    this.#openLine = false;
  }

  #time(): string {
    return `${inSeconds(performance.now() - this.#startMs).padStart(7)} s`;
  }
}

/** As much as one line holds: one that wraps could not be written over. The last part, the time left, goes last. */
function fitted(parts: readonly string[], columns = 0): string {
  // A terminal that does not say how wide it is says 0.
  const most = columns > 0 ? columns - 1 : Infinity;
  const kept = [...parts];
  while (kept.length > 2 && kept.join(', ').length > most) kept.splice(-2, 1);
  return kept.join(', ').slice(0, most);
}

function describe(event: NewRunEvent): string | undefined {
  switch (event.event) {
    case 'run-started':
      return `run ${event.run_id}`;
    case 'step-started':
      return `${event.step} …`;
    case 'step-ended':
      return `${event.step}: done in ${secondsText(event.duration_ms)}`;
    case 'step-failed':
      return `${event.step}: FAILED after ${secondsText(event.duration_ms)}: ${event.message}`;
    case 'qmp':
      return event.name === 'STOP' || event.name === 'RESUME'
        ? `${event.host ?? ''}: ${event.name}`
        : undefined;
    case 'migrate-command':
      return `migrate to ${event.uri}`;
    case 'migration-status':
      return event.host === 'src'
        ? `migration: ${event.status}${event.error === undefined ? '' : ` (${event.error})`}`
        : undefined;
    case 'restart':
      return `restart: ${event.phase.replace('-', ' ')}`;
    case 'pool':
      return `buffer pool ${event.phase.replace('-', ' ')}: ${mebibytes(event.bytes)}`;
    case 'workload-ended':
      return event.end === 'again' ? 'sysbench ended, and is started again' : 'sysbench ended';
    case 'check':
      return `check ${event.name}: ${event.ok ? 'ok' : 'FAILED'} (${event.detail ?? ''})`;
    case 'engine':
      return `engine on ${event.host ?? ''}: ${event.name} ${fieldsOf(event.fields)}`;
    case 'note':
      return event.text;
    case 'run-ended':
      return `run ended: ${event.outcome}${event.reason === undefined ? '' : `: ${event.reason}`}`;
    case 'output':
      return event.stream === 'stderr' ? `${event.host ?? ''} ${event.name}: ${event.text}` : undefined;
    case 'probe-gap':
    case 'probe-ended':
    case 'connection':
    case 'clock-offset':
      return undefined;
  }
}

function fieldsOf(fields: Readonly<Record<string, unknown>>): string {
  return Object.entries(fields)
    .filter(([, value]) => value !== 0 && value !== '')
    .map(([name, value]) => `${name}=${String(value)}`)
    .join(' ');
}
