/** What QEMU says over QMP, as types (QEMU docs/interop/qmp-spec.rst and qapi/*.json). */
import { QmpError } from './qmp-error.ts';

/** qapi/migration.json, MigrationStatus. */
export type MigrationStatus =
  | 'none'
  | 'setup'
  | 'cancelling'
  | 'cancelled'
  | 'active'
  | 'postcopy-active'
  | 'postcopy-paused'
  | 'postcopy-recover-setup'
  | 'postcopy-recover'
  | 'completed'
  | 'failed'
  | 'colo'
  | 'pre-switchover'
  | 'device'
  | 'wait-unplug';

/** qapi/migration.json, MigrationInfo: what the harness reads. Sizes are in bytes, times in ms. */
export interface MigrationInfo {
  /** Missing where there has been no migration. */
  readonly status?: MigrationStatus;
  readonly 'error-desc'?: string;
  readonly 'total-time'?: number;
  readonly downtime?: number;
  readonly 'setup-time'?: number;
  readonly ram?: {
    readonly transferred: number;
    readonly remaining: number;
    readonly total: number;
    readonly 'dirty-sync-count': number;
    readonly 'dirty-pages-rate': number;
  };
}

/** qapi/migration.json, MigrationParameters: what the harness sets. */
export interface MigrationParameters {
  /** Bytes per second; 0 is no limit. */
  readonly 'max-bandwidth'?: number;
  /** Bytes per second that the link gives at switchover, instead of QEMU's own estimate. */
  readonly 'avail-switchover-bandwidth'?: number;
  readonly 'downtime-limit'?: number;
  readonly 'multifd-channels'?: number;
  readonly 'multifd-compression'?: 'none' | 'zlib' | 'zstd';
  readonly 'multifd-zstd-level'?: number;
  readonly 'xbzrle-cache-size'?: number;
  readonly 'cpu-throttle-initial'?: number;
  readonly 'cpu-throttle-increment'?: number;
  readonly 'max-postcopy-bandwidth'?: number;
  readonly 'announce-initial'?: number;
  readonly 'announce-max'?: number;
  readonly 'announce-rounds'?: number;
  readonly 'announce-step'?: number;
}

export type MigrationCapability =
  | 'auto-converge'
  | 'events'
  | 'multifd'
  | 'pause-before-switchover'
  | 'postcopy-blocktime'
  | 'postcopy-ram'
  | 'return-path'
  | 'switchover-ack'
  | 'xbzrle';

type None = Readonly<Record<string, never>>;

/** Commands that the harness uses: name to [arguments, answer]. */
export interface QmpCommands {
  readonly qmp_capabilities: readonly [None, None];
  readonly 'query-status': readonly [None, { readonly status: string; readonly running: boolean }];
  readonly 'query-version': readonly [
    None,
    {
      readonly qemu: { readonly major: number; readonly minor: number; readonly micro: number };
      readonly package: string;
    },
  ];
  readonly 'query-migrate': readonly [None, MigrationInfo];
  readonly 'query-migrate-parameters': readonly [None, MigrationParameters];
  readonly 'migrate-set-capabilities': readonly [
    {
      readonly capabilities: readonly {
        readonly capability: MigrationCapability;
        readonly state: boolean;
      }[];
    },
    None,
  ];
  readonly 'migrate-set-parameters': readonly [MigrationParameters, None];
  readonly migrate: readonly [{ readonly uri: string }, None];
  readonly 'migrate-incoming': readonly [{ readonly uri: string }, None];
  readonly 'migrate-start-postcopy': readonly [None, None];
  readonly 'migrate-continue': readonly [{ readonly state: MigrationStatus }, None];
  readonly migrate_cancel: readonly [None, None];
  /** Tells bridges where the guest is now, in its name. Times in ms. */
  readonly 'announce-self': readonly [
    { readonly initial: number; readonly max: number; readonly rounds: number; readonly step: number },
    None,
  ];
  readonly stop: readonly [None, None];
  readonly cont: readonly [None, None];
  readonly system_reset: readonly [None, None];
  readonly quit: readonly [None, None];
}

interface EventTimes {
  /** By QEMU's clock, ms since 1970. */
  readonly atMs: number;
  readonly receivedAtMs: number;
}

export type QmpEvent = EventTimes &
  (
    | { readonly name: 'STOP' }
    | { readonly name: 'RESUME' }
    | { readonly name: 'MIGRATION'; readonly status: MigrationStatus }
    | { readonly name: 'SHUTDOWN'; readonly guest: boolean; readonly reason: string }
    | { readonly name: 'other'; readonly event: string; readonly data: Readonly<Record<string, unknown>> }
  );

/** One message of QEMU. */
export type QmpMessage =
  | { readonly kind: 'greeting' }
  | { readonly kind: 'answer'; readonly id: number | undefined; readonly value: unknown }
  | { readonly kind: 'refusal'; readonly id: number | undefined; readonly reason: string }
  | { readonly kind: 'event'; readonly event: QmpEvent };

type Json = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Reads one line of QMP.
 * @throws QmpError 'protocol'
 */
export function parseMessage(line: string, receivedAtMs: number): QmpMessage {
  let message: unknown;
  try {
    message = JSON.parse(line);
  } catch (error) {
    throw new QmpError('protocol', `not a QMP message: ${line.slice(0, 200)}`, { cause: error });
  }
  if (isObject(message)) {
    const id = typeof message['id'] === 'number' ? message['id'] : undefined;
    if ('QMP' in message) return { kind: 'greeting' };
    if ('return' in message) return { kind: 'answer', id, value: message['return'] };
    if (isObject(message['error']))
      return { kind: 'refusal', id, reason: String(message['error']['desc'] ?? message['error']['class']) };
    if (typeof message['event'] === 'string')
      return { kind: 'event', event: parseEvent(message['event'], message, receivedAtMs) };
  }
  throw new QmpError('protocol', `not a QMP message: ${line.slice(0, 200)}`);
}

function parseEvent(name: string, message: Json, receivedAtMs: number): QmpEvent {
  const data = isObject(message['data']) ? message['data'] : {};
  const times = { atMs: timestampMs(message['timestamp']) ?? receivedAtMs, receivedAtMs };
  switch (name) {
    case 'STOP':
    case 'RESUME':
      return { ...times, name };
    case 'MIGRATION':
      return { ...times, name, status: data['status'] as MigrationStatus };
    case 'SHUTDOWN':
      return { ...times, name, guest: data['guest'] === true, reason: String(data['reason']) };
    default:
      return { ...times, name: 'other', event: name, data };
  }
}

function timestampMs(timestamp: unknown): number | undefined {
  if (!isObject(timestamp)) return undefined;
  const { seconds, microseconds } = timestamp as { seconds?: unknown; microseconds?: unknown };
  // QEMU writes -1 where it could not read the clock.
  if (typeof seconds !== 'number' || typeof microseconds !== 'number' || seconds < 0) return undefined;
  return seconds * 1000 + microseconds / 1000;
}
