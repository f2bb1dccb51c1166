/** Shows a run's events to people: one line each; steps and checks, not every QMP event. */
import type { NewRunEvent, Sample } from '../record/event.ts';
import { LiveFigures } from './live-figures.ts';

export interface ProgressOutput {
  write(text: string): unknown;
  /** A terminal gets one line that changes while the migration runs, a file a line every few seconds. */
  readonly isTTY?: boolean;
}

const liveMs = { terminal: 500, plain: 10_000 };

/** A reader of the event log, and of the samples, that prints lines. */
export class Progress {
  readonly #output: ProgressOutput;
  readonly #startMs = performance.now();
  readonly #live = new LiveFigures();
  #timer: NodeJS.Timeout | undefined;
  #openLine = false;

  constructor(output: ProgressOutput) {
    this.#output = output;
  }

  event(event: NewRunEvent): void {
    const text = describe(event);
    if (text !== undefined) this.#line(text);
    if (event.event === 'migrate-command') this.#startLive();
    // The step ends when the target runs or the migration has failed.
    if (event.event === 'step-ended' || event.event === 'step-failed' || event.event === 'run-ended')
      clearInterval(this.#timer);
  }

  sample(sample: Sample): void {
    this.#live.take(sample);
  }

  #startLive(): void {
    const terminal = this.#output.isTTY === true;
    this.#timer = setInterval(
      () => {
        const text = this.#live.line;
        if (text === '') return;
        if (!terminal) {
          this.#line(text);
          return;
        }
        this.#output.write(`\r${this.#time()}  ${text}\u001b[K`);
        this.#openLine = true;
      },
      terminal ? liveMs.terminal : liveMs.plain,
    );
  }

  #line(text: string): void {
    this.#output.write(`${this.#openLine ? '\r\u001b[K' : ''}${this.#time()}  ${text}\n`);
    this.#openLine = false;
  }

  #time(): string {
    return `${((performance.now() - this.#startMs) / 1000).toFixed(1).padStart(7)} s`;
  }
}

function describe(event: NewRunEvent): string | undefined {
  switch (event.event) {
    case 'run-started':
      return `run ${event.run_id}`;
    case 'step-started':
      return `${event.step} …`;
    case 'step-ended':
      return `${event.step}: done in ${(event.duration_ms / 1000).toFixed(1)} s`;
    case 'step-failed':
      return `${event.step}: FAILED after ${(event.duration_ms / 1000).toFixed(1)} s: ${event.message}`;
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
    case 'workload-ended':
      return `sysbench ended`;
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
