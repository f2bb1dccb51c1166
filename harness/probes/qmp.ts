/**
 * Follows a QEMU through a QMP socket of its own: forwards every event and polls `query-migrate`
 * (QEMU docs/interop/qmp-spec.rst, qapi/migration.json).
 */
import { createConnection, type Socket } from 'node:net';
import { LineSplitter } from './line-splitter.ts';
import type { Emit, Probe, ProbeConfig } from './report.ts';
import { nowMs } from './wall-clock.ts';

type Json = Readonly<Record<string, unknown>>;

/** The states in which `query-migrate` no longer changes (qapi/migration.json, MigrationStatus). */
const endedStates: ReadonlySet<unknown> = new Set(['completed', 'failed', 'cancelled']);

const retryMs = 50;

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * The numbers in an answer of `query-migrate`, by QEMU's own names; those of nested objects as "ram.remaining". Whatever
 * this version of QEMU reports is kept.
 */
export function migrationFigures(answer: Json, prefix = ''): Record<string, number> {
  const figures: Record<string, number> = {};
  for (const [name, value] of Object.entries(answer)) {
    if (typeof value === 'number') figures[prefix + name] = value;
    else if (isObject(value)) Object.assign(figures, migrationFigures(value, `${prefix}${name}.`));
  }
  return figures;
}

export function startQmp(config: Extract<ProbeConfig, { probe: 'qmp' }>, emit: Emit): Probe {
  const intervalMs = config.intervalMs ?? 100;
  let socket: Socket | undefined;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  let wasConnected = false;
  let lastStatus: unknown;

  const send = (message: Json): void => {
    socket?.write(`${JSON.stringify(message)}\n`);
  };

  const poll = (): void => {
    send({ execute: 'query-migrate', id: 'query-migrate' });
  };

  const receive = (message: Json): void => {
    const at = nowMs();
    if ('QMP' in message) {
      send({ execute: 'qmp_capabilities', id: 'qmp_capabilities' });
    } else if (typeof message['event'] === 'string') {
      emit({
        report: 'qmp-event',
        at: eventTimeMs(message['timestamp']) ?? at,
        receivedAt: at,
        name: message['event'],
        data: isObject(message['data']) ? message['data'] : {},
      });
    } else if (message['id'] === 'qmp_capabilities') {
      wasConnected = true;
      emit({ report: 'connection', at, probe: 'qmp', state: 'connected', detail: config.socket });
      poll();
    } else if (message['id'] === 'query-migrate') {
      const answer = message['return'];
      if (isObject(answer)) reportMigration(at, answer);
      // The next question only after this answer: QEMU answers late while it switches over.
      timer = setTimeout(poll, intervalMs);
    }
  };

  const reportMigration = (at: number, answer: Json): void => {
    const status = answer['status'];
    const news = status !== lastStatus || !endedStates.has(status);
    lastStatus = status;
    // Without a status there has been no migration yet; "none" is what a finished target may say.
    if (typeof status !== 'string' || status === 'none' || !news) return;
    const error = answer['error-desc'];
    emit({
      report: 'migration',
      at,
      status,
      figures: migrationFigures(answer),
      ...(typeof error === 'string' ? { error } : {}),
    });
  };

  const connect = (): void => {
    const lines = new LineSplitter();
    let detail = 'closed by QEMU';
    socket = createConnection(config.socket);
    socket.on('data', (chunk) => {
      for (const line of lines.push(chunk)) {
        const message: unknown = line.trim() === '' ? undefined : parse(line);
        if (isObject(message)) receive(message);
      }
    });
    socket.on('error', (error) => (detail = error.message));
    socket.on('close', () => {
      clearTimeout(timer);
      if (stopped) return;
      if (wasConnected) emit({ report: 'connection', at: nowMs(), probe: 'qmp', state: 'lost', detail });
      wasConnected = false;
      lastStatus = undefined;
      // QEMU is not started yet, or will be started again.
      timer = setTimeout(connect, retryMs);
    });
  };
  connect();

  return {
    stop: () => {
      stopped = true;
      clearTimeout(timer);
      socket?.destroy();
      return Promise.resolve();
    },
  };
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined; // QEMU never writes such a line; one must not end the other probes
  }
}

function eventTimeMs(timestamp: unknown): number | undefined {
  if (!isObject(timestamp)) return undefined;
  const { seconds, microseconds } = timestamp as { seconds?: unknown; microseconds?: unknown };
  // QEMU writes -1 where it could not read the clock.
  if (typeof seconds !== 'number' || typeof microseconds !== 'number' || seconds < 0) return undefined;
  return seconds * 1000 + microseconds / 1000;
}
