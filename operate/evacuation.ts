/** `poolshift evacuate`: all running domains of a host move to another, a few at a time, those with the largest pools last. */
import { type Finding, plainHelps } from './checks.ts';
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
    /** It could not be asked, or its migration not be followed. */
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
    case 'unknown':
      return exitCodes['in-doubt'];
    case 'not-begun':
      return exitCodes.cancelled;
  }
}

/** What most needs somebody to look comes first. */
const gravest = [
  exitCodes['in-doubt'],
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
    case 'unknown':
      return [`unknown: ${end.why}`, '', ''];
    case 'not-begun':
      return ['not begun', '', ''];
  }
}

/** A row for each domain. Pure. */
export function evacuationTable(ends: readonly DomainEnd[]): readonly string[] {
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
 * @param reporterOf what a domain's migration tells
 * @throws CodedError 'host' where the source cannot be asked which domains run
 */
export async function evacuate(
  destinationUri: string,
  options: EvacuationOptions,
  reporterOf: (domain: string) => Reporter,
  onInterrupt: (listener: () => void) => void,
): Promise<readonly DomainEnd[]> {
  let interrupted = false;
  onInterrupt(() => {
    interrupted = true;
  });
  const domains = inOrder(await surveyDomains(destinationUri, options));
  const ends = new Map<string, DomainEnd['end']>();
  const waiting = [...domains.entries()];
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, domain] = next;
      ends.set(
        domain,
        interrupted
          ? { is: 'not-begun' }
          : await move(
              domain,
              destinationUri,
              { ...options, port: options.port + portsApart * index },
              reporterOf(domain),
              onInterrupt,
            ),
      );
    }
  };
  await Promise.all(Array.from({ length: options.parallel }, worker));
  return domains.map((domain) => ({ domain, end: ends.get(domain) ?? { is: 'not-begun' } }));
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
    return { is: 'unknown', why: (error as Error).message };
  }
}
