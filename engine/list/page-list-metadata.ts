/** The part of an encoded page list that is JSON, checked by hand: the agent's bundle carries no schema library. */
import { CodedError } from '../../foundation/coded-error.ts';
import { type LeftOutPages, type LeftOutReason, leftOutReasons } from './left-out.ts';
import type { ListFailure, PageList, PageSource } from './page-list.ts';

/** A source with the number of its runs: of hot pages, and of cold ones, which version 1 does not have. */
type CountedSource = PageSource & { readonly runs: number; readonly coldRuns?: number };

/** What an encoded list says besides its runs. */
export interface PageListMetadata {
  /** In the order of the runs. */
  readonly sources: readonly CountedSource[];
  readonly guestRam: PageList['guestRam'];
  readonly timings: PageList['timings'];
  readonly server: PageList['server'];
  /** Absent in lists of older agents, as those behind it are. */
  readonly leftOut?: PageList['leftOut'];
  readonly failures?: PageList['failures'];
  readonly heatUnknown?: PageList['heatUnknown'];
}

export type ParsedMetadata = Required<Omit<PageListMetadata, 'heatUnknown'>> &
  Pick<PageListMetadata, 'heatUnknown'>;

/**
 * What one list may name: each source costs the destination a descriptor, and each name crosses the wire, whose messages
 * (engine/wire/messages.ts) take no longer ones. A virtio disk's serial has 20 characters, a path of Linux at most 4095.
 */
export const listLimits = {
  metadataBytes: 4 * 1024 * 1024,
  sources: 4096,
  diskName: 256,
  fileSystem: 1024,
  path: 4095,
  version: 1024,
  failures: 64,
  failureText: 1024,
  heatUnknown: 64,
  heatUnknownText: 256,
} as const;
const maxRamRanges = 4096;

type Fields = Readonly<Record<string, unknown>>;

/** Bytes that are no UTF-8 would become three each: names that fit here would be too long for the message that they go on in. */
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** @throws CodedError 'page-list', 'malformed' */
export function parseMetadata(bytes: Buffer): ParsedMetadata {
  let value: unknown;
  try {
    value = JSON.parse(strictUtf8.decode(bytes));
  } catch (cause) {
    throw new CodedError(
      'page-list',
      'malformed',
      'not a valid page list: its metadata is not JSON in UTF-8',
      {
        cause,
      },
    );
  }
  const fields = asFields(value, 'metadata');
  const timings = asFields(fields['timings'], 'timings');
  const server = asFields(fields['server'], 'server');
  return {
    sources: asArray(fields['sources'], 'sources', listLimits.sources).map((source) => parseSource(source)),
    guestRam: parseRam(fields['guestRam']),
    timings: {
      findMs: asDuration(timings['findMs'], 'timings.findMs'),
      translateMs: asDuration(timings['translateMs'], 'timings.translateMs'),
      mapMs: asDuration(timings['mapMs'], 'timings.mapMs'),
      encodeMs: asDuration(timings['encodeMs'], 'timings.encodeMs'),
    },
    server: {
      product: asOneOf(server['product'], ['mariadb', 'mysql', 'postgresql', 'other'], 'server.product'),
      version: asString(server['version'], 'server.version', listLimits.version),
      method: asOneOf(server['method'], ['descriptors', 'scan'], 'server.method'),
      cachedPages: asCount(server['cachedPages'], 'server.cachedPages'),
      dirtyPages: asCount(server['dirtyPages'], 'server.dirtyPages'),
      excludedPages: asCount(server['excludedPages'], 'server.excludedPages'),
    },
    leftOut: parseLeftOut(fields['leftOut'] ?? {}),
    failures: asArray(fields['failures'] ?? [], 'failures', listLimits.failures).map(parseFailure),
    ...(fields['heatUnknown'] === undefined ? {} : { heatUnknown: parseHeatUnknown(fields['heatUnknown']) }),
  };
}

/** Reasons that only a newer agent knows are passed over: they are for people, and nothing depends on them. */
function parseLeftOut(value: unknown): LeftOutPages {
  const fields = asFields(value, 'leftOut');
  const leftOut: LeftOutPages = {};
  for (const reason of Object.keys(leftOutReasons) as LeftOutReason[])
    if (fields[reason] !== undefined) leftOut[reason] = asCount(fields[reason], `leftOut.${reason}`);
  return leftOut;
}

function parseHeatUnknown(value: unknown): readonly string[] {
  return asArray(value, 'heatUnknown', listLimits.heatUnknown).map((text) =>
    asString(text, 'heatUnknown', listLimits.heatUnknownText),
  );
}

function parseFailure(value: unknown): ListFailure {
  const fields = asFields(value, 'failure');
  const text = (name: string): string => asString(fields[name], `failure.${name}`, listLimits.failureText);
  return { program: text('program'), code: text('code'), message: text('message') };
}

function parseSource(value: unknown): CountedSource {
  const fields = asFields(value, 'source');
  const counts = {
    runs: asCount(fields['runs'], 'source.runs'),
    coldRuns: asCount(fields['coldRuns'] ?? 0, 'source.coldRuns'),
  };
  const kind = asOneOf(fields['kind'], ['disk', 'file'], 'source.kind');
  return kind === 'disk'
    ? { kind, disk: asString(fields['disk'], 'source.disk', listLimits.diskName), ...counts }
    : {
        kind,
        fileSystem: asString(fields['fileSystem'], 'source.fileSystem', listLimits.fileSystem),
        path: asString(fields['path'], 'source.path', listLimits.path),
        ...counts,
      };
}

function parseRam(value: unknown): PageList['guestRam'] {
  let previousLast = -1;
  return asArray(value, 'guestRam', maxRamRanges).map((range) => {
    const [first, last] = asArray(range, 'guestRam range', 2);
    const firstFrame = asCount(first, 'guestRam frame');
    const lastFrame = asCount(last, 'guestRam frame');
    if (firstFrame <= previousLast || lastFrame < firstFrame) throw wrong('guestRam', 'ascending ranges');
    previousLast = lastFrame;
    return [firstFrame, lastFrame] as const;
  });
}

function wrong(name: string, wanted: string): CodedError<'page-list'> {
  return new CodedError('page-list', 'malformed', `not a valid page list: ${name} must be ${wanted}`);
}

function asFields(value: unknown, name: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(name, 'an object');
  return value as Fields;
}

function asArray(value: unknown, name: string, maxLength: number): readonly unknown[] {
  if (!Array.isArray(value) || value.length > maxLength)
    throw wrong(name, `an array of at most ${maxLength}`);
  return value as readonly unknown[];
}

function asString(value: unknown, name: string, maxLength: number): string {
  if (typeof value !== 'string' || value.length > maxLength)
    throw wrong(name, `a string of at most ${maxLength}`);
  return value;
}

function asCount(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw wrong(name, 'a whole number');
  return value;
}

function asDuration(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) throw wrong(name, 'a duration');
  return value;
}

function asOneOf<const Choice extends string>(
  value: unknown,
  choices: readonly Choice[],
  name: string,
): Choice {
  const found = choices.find((choice) => choice === value);
  if (found === undefined) throw wrong(name, `one of ${choices.join(', ')}`);
  return found;
}
