/** Shows a run's events to people: one line each; steps and checks, not every QMP event. */
import type { NewRunEvent } from '../record/event.ts';

export type Show = (line: string) => void;

/** A reader of the event log that prints lines; `startMs` is when the command began, by `performance.now`. */
export function progressLines(show: Show): (event: NewRunEvent) => void {
  const startMs = performance.now();
  return (event) => {
    const text = describe(event);
    if (text === undefined) return;
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1).padStart(7);
    show(`${seconds} s  ${text}`);
  };
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
