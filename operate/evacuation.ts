/** `poolshift evacuate`: all running domains of a host move to another, a few at a time, those with the largest pools last. */
import { CodedError } from '../foundation/coded-error.ts';
import { type Finding, memoryCheck, plainHelps } from './checks.ts';
import { exitCodes, refusedExitCode, unverifiedExitCode } from './course.ts';
import {
  type DomainMigrationOptions,
  migrateDomain,
  type SurveyedDomain,
  surveyDomains,
} from './domain-migration.ts';
import type { Reporter } from './report.ts';
import { exitCodeOf, type Summary } from './summary.ts';
import { seconds } from '../foundation/quantity.ts';

export interface EvacuationOptions extends DomainMigrationOptions {
  /** Domains that migrate at once: each has its share of the link. */
  readonly parallel: number;
  /** Domains that the engines cannot help go by libvirt alone. */
  readonly orPlain?: true;
}

export interface DomainEnd {
  readonly domain: string;
  readonly end:
    | { readonly is: 'over'; readonly summary: Summary }
    | { readonly is: 'hindered'; readonly findings: readonly Finding[] }
    /** It could not be asked. */
    | { readonly is: 'not-asked'; readonly why: string }
    /** Its migration could not be followed. */
    | { readonly is: 'unknown'; readonly why: string }
    /** Ctrl-C came before. */
    | { readonly is: 'not-begun' };
}

/** What takes longest comes last, so that most VMs are away when something goes wrong. Pure. */
export function inOrder(surveyed: readonly SurveyedDomain[]): readonly string[] {
  return surveyed
    .toSorted(
      (a, b) =>
        a.pagesListed - b.pagesListed ||
        a.memoryBytes - b.memoryBytes ||
        a.domain.localeCompare(b.domain, 'en'),
    )
    .map(({ domain }) => domain);
}

/** Of one domain, as `poolshift migrate` has it. Pure. */
function codeOfEnd({ end }: DomainEnd): number {
  switch (end.is) {
    case 'over':
      return exitCodeOf(end.summary);
    case 'hindered':
      return refusedExitCode;
    case 'not-asked':
      return exitCodes.failed;
    case 'unknown':
      return exitCodes['in-doubt'];
    case 'not-begun':
      return exitCodes.cancelled;
  }
}

/** What most needs somebody to look comes first. */
const gravest = [
  exitCodes['in-doubt'],
  exitCodes['vm-ended'],
  exitCodes.incomplete,
  unverifiedExitCode,
  exitCodes.failed,
  refusedExitCode,
  exitCodes.cancelled,
] as const;

/** That of the gravest end; 0 where all have moved. Pure. */
export function evacuationExitCode(ends: readonly DomainEnd[]): number {
  const codes = ends.map(codeOfEnd);
  return gravest.find((code) => codes.includes(code)) ?? 0;
}

function wordsOf({ end }: DomainEnd): readonly [result: string, total: string, restored: string] {
  switch (end.is) {
    case 'over': {
      const { outcome, totalMs, pagesVerified, pagesListed } = end.summary;
      const restored = pagesVerified === undefined ? '' : `${pagesVerified} of ${pagesListed ?? 0}`;
      return [`${outcome}${end.summary.method === 'plain' ? ', plain' : ''}`, seconds(totalMs), restored];
    }
    case 'hindered':
      return [`not begun: ${end.findings.map(({ check, says }) => `${check}: ${says}`).join('; ')}`, '', ''];
    case 'not-asked':
      return [`not begun: ${end.why}`, '', ''];
    case 'unknown':
      return [`unknown: ${end.why}`, '', ''];
    case 'not-begun':
      return ['not begun', '', ''];
  }
}

/** A row for each domain. Pure. */
export function evacuationTable(ends: readonly DomainEnd[]): readonly string[] {
  if (ends.length === 0) return ['no domain runs at the source: there is nothing to move'];
  const rows = [
    ['domain', 'total', 'pages restored', 'result'],
    ...ends.map((end) => {
      const [result, total, restored] = wordsOf(end);
      return [end.domain, total, restored, result];
    }),
  ];
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '));
}

/** Two that begin at once look for a free port each: they start so far from each other. */
const portsApart = 16;

/**
 * Moves them, `parallel` at a time. Ctrl-C ends those that move, as far as it can, and begins no other.
 * @param reporterOf what a domain's migration tells, or what is told of all
 * @throws CodedError 'host' where the source cannot be asked which domains run
 */
export async function evacuate(
  destinationUri: string,
  options: EvacuationOptions,
  reporterOf: (domain?: string) => Reporter,
  onInterrupt: (listener: () => void) => void,
): Promise<readonly DomainEnd[]> {
  let interrupted = false;
  const general = reporterOf();
  onInterrupt(() => {
    if (!interrupted)
      general.note('no more domains are begun; those that move are ended as far as they can be');
    interrupted = true;
  });
  const surveyed = await surveyDomains(destinationUri, options, general, (domain) => {
    if (!interrupted) reporterOf(domain).note('asked how large its pool is');
    return !interrupted;
  });
  const domains = inOrder(surveyed);
  const lastPort = options.port + portsApart * domains.length - 1;
  if (lastPort > 65_535)
    throw new CodedError(
      'command',
      'usage',
      `--port ${options.port}: ${domains.length} domains take the ports up to ${lastPort}, beyond 65535`,
    );
  const ends = new Map<string, DomainEnd['end']>();
  const waiting = [...domains.entries()];
  const room = new SharedRoom();
  const moveOne = async (index: number, domain: string): Promise<DomainEnd['end']> => {
    const memoryBytes = surveyed.find((one) => one.domain === domain)?.memoryBytes ?? 0;
    const reporter = reporterOf(domain);
    const port = options.port + portsApart * index;
    for (;;) {
      if (interrupted) return { is: 'not-begun' };
      const place = room.take(memoryBytes);
      const given = { ...options, port, memoryUnderWayBytes: place.beforeBytes };
      const end = await move(domain, destinationUri, given, reporter, onInterrupt);
      place.leave();
      const isFull = end.is === 'hindered' && end.findings.every(({ check }) => check === memoryCheck);
      if (!isFull || place.beforeBytes === 0) return end;
      reporter.note('waits until others have arrived: there is no memory for it beside theirs yet');
      await place.others;
    }
  };
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
      ends.set(next[1], await moveOne(...next));
  };
  await Promise.all(Array.from({ length: options.parallel }, worker));
  return domains.map((domain) => ({ domain, end: ends.get(domain) ?? { is: 'not-begun' } }));
}

/** A place on the way to the destination. */
interface Place {
  /** What those take that were on their way before. */
  readonly beforeBytes: number;
  /** Settles when one of those has ended. */
  readonly others: Promise<unknown>;
  leave(): void;
}

/**
 * Memory at the destination that those take which are on their way: it is not theirs yet, so that the next one would see it as free. Each
 * counts only those before it, so that the first one never waits.
 */
export class SharedRoom {
  readonly #underWay = new Map<Place, { readonly bytes: number; readonly left: Promise<unknown> }>();

  take(bytes: number): Place {
    const before = [...this.#underWay.values()];
    const { promise: left, resolve } = Promise.withResolvers<undefined>();
    const place: Place = {
      beforeBytes: before.reduce((sum, other) => sum + other.bytes, 0),
      others: Promise.race(before.map((other) => other.left)),
      leave: () => {
        this.#underWay.delete(place);
        resolve(undefined);
      },
    };
    this.#underWay.set(place, { bytes, left });
    return place;
  }
}

async function move(
  domain: string,
  destinationUri: string,
  options: EvacuationOptions,
  reporter: Reporter,
  onInterrupt: (listener: () => void) => void,
): Promise<DomainEnd['end']> {
  const migrate = (method: DomainMigrationOptions['method']) =>
    migrateDomain(
      domain,
      destinationUri,
      { ...options, method, linkShare: 1 / options.parallel },
      reporter,
      onInterrupt,
    );
  try {
    let end = await migrate(options.method);
    if ('hindered' in end && options.orPlain === true && plainHelps(end.hindered))
      end = await migrate('plain');
    return 'hindered' in end
      ? { is: 'hindered', findings: end.hindered }
      : { is: 'over', summary: end.summary };
  } catch (error) {
    // What hosts say is thrown before a migration begins alone; afterwards it is in the summary.
    const is = error instanceof CodedError ? 'not-asked' : 'unknown';
    return { is, why: (error as Error).message };
  }
}
