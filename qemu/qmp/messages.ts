/** What QEMU says over QMP, as types and schemas (QEMU docs/interop/qmp-spec.rst and qapi/*.json). */
import { z } from 'zod';
import { CodedError } from '../../foundation/coded-error.ts';

const figure = z.number().optional();

/**
 * Answers that are read, as far as they are; more members pass. `query-migrate` is qapi/migration.json, MigrationInfo: sizes
 * are in bytes, times in ms, and there is no status where there has been no migration.
 */
export const answerSchemas = {
  'human-monitor-command': z.string(),
  'query-status': z.looseObject({ status: z.string(), running: z.boolean() }),
  /** qapi/control.json, VersionInfo. */
  'query-version': z.looseObject({
    qemu: z.looseObject({ major: z.number(), minor: z.number(), micro: z.number() }),
  }),
  'query-name': z.looseObject({ name: z.string().optional() }),
  /** qapi/char.json, ChardevInfo: `filename` is how it was given, as in "unix:/run/a.sock,server=on". */
  'query-chardev': z.array(z.looseObject({ label: z.string(), filename: z.string() })),
  /** qapi/block-core.json, BlockInfo: `inserted` is not there for an empty drive. */
  'query-block': z.array(
    z.looseObject({
      device: z.string(),
      qdev: z.string().optional(),
      inserted: z
        .looseObject({
          file: z.string(),
          drv: z.string(),
          ro: z.boolean(),
          'node-name': z.string().optional(),
          image: z.looseObject({ filename: z.string() }),
        })
        .optional(),
    }),
  ),
  'query-migrate-capabilities': z.array(z.looseObject({ capability: z.string(), state: z.boolean() })),
  /** Those that this QEMU knows. */
  'query-migrate-parameters': z.record(z.string(), z.unknown()),
  /** qapi/machine.json, BalloonInfo: `actual` is what the guest has, in bytes. */
  'query-balloon': z.looseObject({ actual: z.number() }),
  'query-migrate': z.looseObject({
    status: z.string().optional(),
    'error-desc': z.string().optional(),
    'total-time': figure,
    downtime: figure,
    'setup-time': figure,
    ram: z
      .looseObject({
        transferred: figure,
        remaining: figure,
        total: figure,
        'dirty-sync-count': figure,
        'dirty-pages-rate': figure,
      })
      .optional(),
  }),
} as const;

export type MigrationInfo = z.infer<(typeof answerSchemas)['query-migrate']>;

/** qapi/migration.json, MigrationParameters: what is set here. */
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
  /** Of QEMU 7.2; gone since 9.1. */
  | 'compress'
  | 'dirty-bitmaps'
  | 'events'
  | 'multifd'
  | 'pause-before-switchover'
  | 'postcopy-blocktime'
  /** QEMU 7.1. */
  | 'postcopy-preempt'
  | 'postcopy-ram'
  | 'release-ram'
  | 'return-path'
  | 'switchover-ack'
  | 'x-ignore-shared'
  | 'xbzrle';

type None = Readonly<Record<string, never>>;

/** Commands that are used here, and their arguments. */
export interface QmpCommands {
  readonly 'query-status': None;
  readonly 'query-version': None;
  readonly 'query-name': None;
  readonly 'query-chardev': None;
  readonly 'query-block': None;
  readonly 'query-migrate-capabilities': None;
  readonly 'query-migrate-parameters': None;
  readonly 'query-migrate': None;
  readonly 'query-balloon': None;
  /** Bytes that the guest is to keep; the balloon takes the rest. */
  readonly balloon: { readonly value: number };
  readonly 'migrate-set-capabilities': {
    readonly capabilities: readonly { readonly capability: MigrationCapability; readonly state: boolean }[];
  };
  readonly 'migrate-set-parameters': MigrationParameters;
  readonly migrate: { readonly uri: string };
  readonly 'migrate-incoming': { readonly uri: string };
  readonly 'migrate-start-postcopy': None;
  /** A post-copy that broke is waited for there; may be out of band, since QEMU may wait for a page. */
  readonly 'migrate-recover': { readonly uri: string };
  readonly 'migrate-continue': { readonly state: string };
  readonly migrate_cancel: None;
  /** Tells bridges where the guest is now, in its name. Times in ms. */
  readonly 'announce-self': {
    readonly initial: number;
    readonly max: number;
    readonly rounds: number;
    readonly step: number;
  };
  readonly 'blockdev-add': Json;
  readonly device_add: Json;
  readonly 'block-dirty-bitmap-add': { readonly node: string; readonly name: string };
  readonly 'nbd-server-start': { readonly addr: Json };
  readonly 'block-export-add': {
    readonly type: 'nbd';
    readonly id: string;
    readonly 'node-name': string;
    readonly name: string;
  };
  /** For what QMP has no command; the answer is text for people. */
  readonly 'human-monitor-command': { readonly 'command-line': string };
  readonly stop: None;
  readonly cont: None;
  readonly system_reset: None;
  readonly quit: None;
}

export type QmpCommand = keyof QmpCommands;

/** Nothing is read of an answer that has no schema. */
export type Answer<Name extends QmpCommand> = Name extends keyof typeof answerSchemas
  ? z.infer<(typeof answerSchemas)[Name]>
  : unknown;

export interface QmpEvent {
  /** QEMU's name: STOP, RESUME, MIGRATION, SHUTDOWN and others. */
  readonly name: string;
  readonly data: Json;
  /** By QEMU's clock, ms since 1970; the time of arrival where QEMU could not read its clock. */
  readonly atMs: number;
  readonly receivedAtMs: number;
}

/** One message of QEMU. */
export type QmpMessage =
  /** `outOfBand`: it takes commands that overtake others (`exec-oob`) when they are asked for. */
  | { readonly kind: 'greeting'; readonly outOfBand: boolean }
  | { readonly kind: 'answer'; readonly id: number | undefined; readonly value: unknown }
  | { readonly kind: 'refusal'; readonly id: number | undefined; readonly reason: string }
  | { readonly kind: 'event'; readonly event: QmpEvent };

export type Json = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Reads one line of QMP.
 * @throws CodedError 'qmp', 'protocol'
 */
export function parseMessage(line: string, receivedAtMs: number): QmpMessage {
  let message: unknown;
  try {
    message = JSON.parse(line);
  } catch (error) {
    throw new CodedError('qmp', 'protocol', `not a QMP message: ${line.slice(0, 200)}`, { cause: error });
  }
  if (isObject(message)) {
    const { QMP: greeting, event, error, id: anyId } = message;
    const id = typeof anyId === 'number' ? anyId : undefined;
    if (isObject(greeting)) {
      const { capabilities } = greeting;
      return { kind: 'greeting', outOfBand: Array.isArray(capabilities) && capabilities.includes('oob') };
    }
    if ('return' in message) return { kind: 'answer', id, value: message['return'] };
    if (isObject(error)) return { kind: 'refusal', id, reason: String(error['desc'] ?? error['class']) };
    if (typeof event === 'string') {
      const data = isObject(message['data']) ? message['data'] : {};
      const atMs = timestampMs(message['timestamp']) ?? receivedAtMs;
      return { kind: 'event', event: { name: event, data, atMs, receivedAtMs } };
    }
  }
  throw new CodedError('qmp', 'protocol', `not a QMP message: ${line.slice(0, 200)}`);
}

function timestampMs(timestamp: unknown): number | undefined {
  if (!isObject(timestamp)) return undefined;
  const { seconds, microseconds } = timestamp;
  // QEMU writes -1 where it could not read the clock.
  if (typeof seconds !== 'number' || typeof microseconds !== 'number' || seconds < 0) return undefined;
  return seconds * 1000 + microseconds / 1000;
}
