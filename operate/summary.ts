/** What a migration was, when it is over: a table for people, an object for programs, metrics for a monitor. Pure. */
import type { RecordedFields } from '../record/engine-event.ts';
import { megabytes, milliseconds, seconds } from '../foundation/quantity.ts';
import type { Method } from './checks.ts';
import { type EngineRole, exitCodes, type Outcome, unverifiedExitCode } from './course.ts';
import type { ReportedEvent } from './launch.ts';
import type { RamVerdict } from './verification.ts';

/** Numbers and reasons out of what the engines reported; undefined is what nobody said. */
export interface Summary {
  readonly vm: string;
  readonly source: string;
  readonly destination: string;
  readonly method: Method;
  readonly outcome: Outcome;
  readonly totalMs: number;
  readonly downtimeMs: number | undefined;
  /** Early resume: when the VM ran at the destination, since the beginning. */
  readonly movedMs?: number;
  /** With `--verify`. */
  readonly ram?: RamVerdict;
  readonly migrationLinkBytes: number | undefined;
  readonly storageLinkBytes: number | undefined;
  readonly pagesListed: number | undefined;
  /** Each of them was compared by hash before it counted. */
  readonly pagesVerified: number | undefined;
  /** Of the listed pages, by why they did not come from storage. */
  readonly pagesSent: Readonly<Record<string, number>>;
  /** What engines said went otherwise than asked for. */
  readonly reasons: readonly string[];
}

const reasonEvents: ReadonlySet<string> = new Set([
  'no-list',
  'storage-unusable',
  'read-failed',
  'not-placing',
  'stream-unfilterable',
  'warning',
  'failed',
  'in-doubt',
  'incomplete',
]);

/** How an engine ends. */
const lastWords = ['done', 'failed', 'cancelled', 'incomplete', 'in-doubt'] as const;

/** A guest can make an engine say very many: each storage that it invents is another reason. */
const maxReasons = 20;
const maxReasonLength = 500;

/** Collects both engines' events. */
export class EngineRecord {
  readonly #last = new Map<string, RecordedFields>();
  readonly #reasons: string[] = [];
  readonly #early: boolean;
  readonly #ended = new Set<EngineRole>();
  #reasonsLeftOut = 0;
  #hasSeenQemu = false;

  /** @param early early resume, in which no page is placed: nobody asked for it */
  constructor(early = false) {
    this.#early = early;
  }

  take(role: EngineRole, { event, fields }: ReportedEvent): void {
    this.#last.set(`${role} ${event === 'done' ? 'progress' : event}`, fields);
    if (event === 'qemu-connected') this.#hasSeenQemu = true;
    if (lastWords.some((word) => word === event)) this.#ended.add(role);
    const { reason } = fields;
    if (!reasonEvents.has(event) || reason === undefined || (this.#early && event === 'not-placing')) return;
    // What one engine says, the other often repeats.
    const cut = reason.slice(0, maxReasonLength);
    if (this.#reasons.some((known) => known.endsWith(cut))) return;
    if (this.#reasons.length === maxReasons) this.#reasonsLeftOut += 1;
    else this.#reasons.push(`${role} engine: ${cut}`);
  }

  /** Whether any of QEMU's stream has come to an engine. */
  get hasSeenQemu(): boolean {
    return this.#hasSeenQemu;
  }

  /** Whether the destination engine has said that the target has everything. */
  get targetHasAll(): boolean {
    return this.#last.has('destination started');
  }

  /** Whether that engine has said how it ended. */
  hasLastWord(role: EngineRole): boolean {
    return this.#ended.has(role);
  }

  /** What was said last, as in "look at the target, then ...". */
  get advice(): string | undefined {
    for (const key of [
      'destination incomplete',
      'source incomplete',
      'source in-doubt',
      'source failed',
      'destination in-doubt',
    ]) {
      const advice = this.#last.get(key)?.advice;
      if (advice !== undefined) return advice;
    }
    return undefined;
  }

  figures(): Pick<
    Summary,
    'migrationLinkBytes' | 'storageLinkBytes' | 'pagesListed' | 'pagesVerified' | 'pagesSent' | 'reasons'
  > {
    const source = this.#last.get('source progress');
    const destination = this.#last.get('destination progress');
    const accepted = this.#last.get('source accepted');
    const counts = { ...source, ...destination };
    const mismatched = counts.pages_mismatched ?? 0;
    const unreadable = counts.pages_unreadable ?? 0;
    const sent: Readonly<Record<string, number>> = {
      'QEMU had sent them before the list came': accepted?.pages_already_sent ?? 0,
      'the link was not found to be scarce': source?.pages_passed_on ?? 0,
      'storage is not known or not open': accepted?.refused_unknown_source ?? 0,
      'refused: beyond memory or storage, or named twice':
        (accepted?.refused_beyond_ram ?? 0) +
        (accepted?.refused_beyond_storage ?? 0) +
        (accepted?.refused_duplicate_frame ?? 0),
      'the guest wrote to them meanwhile': counts.pages_cancelled ?? 0,
      'storage has other content': mismatched,
      'storage could not be read': unreadable,
      'the migration link was free': Math.max(
        0,
        (source?.pages_sent_after_all ?? 0) - mismatched - unreadable,
      ),
    };
    return {
      migrationLinkBytes: source?.migration_link_bytes,
      storageLinkBytes: destination?.storage_link_bytes ?? source?.storage_link_bytes,
      pagesListed: source?.pages_listed,
      pagesVerified: destination?.pages_restored ?? source?.pages_restored,
      pagesSent: Object.fromEntries(Object.entries(sent).filter(([, pages]) => pages > 0)),
      reasons:
        this.#reasonsLeftOut === 0
          ? this.#reasons
          : [...this.#reasons, `the engines said ${this.#reasonsLeftOut} more, which stand in their events`],
    };
  }
}

const outcomeWords: Readonly<Record<Outcome, string>> = {
  migrated: 'migrated',
  failed: 'failed: the VM runs on at the source',
  'failed-paused': 'failed: the VM is at the source, stopped',
  cancelled: 'cancelled: the VM runs on at the source',
  'in-doubt': 'IN DOUBT: it is not known where the VM is',
  'vm-ended': 'ENDED: the VM has shut down or was ended, and runs on neither host',
  incomplete: 'INCOMPLETE: the VM is at the destination, without pages that only the source has',
};

const ramWords: Readonly<Record<RamVerdict, string>> = {
  equal: 'all of it is equal on both hosts',
  'equal-suspended':
    'all of it is equal on both hosts, and the VM is suspended still at the destination: virsh resume',
  differs: 'DIFFERS from what it was at the source: the VM is suspended at the destination',
  'not-compared': 'could not be compared: the VM is suspended at the destination',
};

export function exitCodeOf({ outcome, ram = 'equal' }: Pick<Summary, 'outcome' | 'ram'>): number {
  return outcome === 'migrated' && ram !== 'equal' ? unverifiedExitCode : exitCodes[outcome];
}

/** Two columns. */
export function summaryTable(summary: Summary): readonly string[] {
  const { migrationLinkBytes, storageLinkBytes, pagesListed, pagesVerified, downtimeMs } = summary;
  const rows: (readonly [string, string])[] = [
    ['result', outcomeWords[summary.outcome]],
    ['way', `${summary.vm}: ${summary.source} to ${summary.destination}, method ${summary.method}`],
    ['total', seconds(summary.totalMs)],
    ...(summary.movedMs === undefined ? [] : ([['moved', `after ${seconds(summary.movedMs)}`]] as const)),
    ['downtime', downtimeMs === undefined ? 'not known' : milliseconds(downtimeMs)],
    ...(summary.ram === undefined ? [] : ([['memory', ramWords[summary.ram]]] as const)),
    ...(migrationLinkBytes === undefined
      ? []
      : ([['migration link', megabytes(migrationLinkBytes, 1)]] as const)),
    ...(storageLinkBytes === undefined ? [] : ([['storage link', megabytes(storageLinkBytes, 1)]] as const)),
    ...(pagesVerified === undefined
      ? []
      : ([
          ['restored', `${pagesVerified} pages, each verified by content, of ${pagesListed ?? 0} listed`],
        ] as const)),
    ...Object.entries(summary.pagesSent).map(([why, pages]) => ['sent', `${pages} pages: ${why}`] as const),
    ...summary.reasons.map((reason) => ['said', reason] as const),
  ];
  return rows.map(([name, value]) => `${name.padEnd(15)}${value}`);
}

/** One line for the journal of both hosts. */
export function journalLine(id: string, summary: Summary): string {
  const { vm, source, destination, method, outcome, totalMs, downtimeMs } = summary;
  return (
    `migration ${id} of ${vm} from ${source} to ${destination} by ${method}: ${outcomeWords[outcome]} ` +
    `(total ${seconds(totalMs)}, downtime ${downtimeMs === undefined ? 'not known' : milliseconds(downtimeMs)})`
  );
}

/** OpenMetrics text of the last migration of this VM, for node_exporter's folder of text files. */
export function metricsText(summary: Summary, endedAtMs: number): string {
  const labels = (['vm', 'source', 'destination', 'method', 'outcome'] as const)
    .map(
      (name) =>
        `${name}="${summary[name].replaceAll(/["\\\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`))}"`,
    )
    .join(',');
  const metrics: readonly (readonly [name: string, help: string, value: number | undefined])[] = [
    ['end_timestamp_seconds', 'When it ended', endedAtMs / 1000],
    ['total_seconds', 'How long it took', summary.totalMs / 1000],
    [
      'downtime_seconds',
      'How long the VM stood',
      summary.downtimeMs === undefined ? undefined : summary.downtimeMs / 1000,
    ],
    ['migration_link_bytes', 'What crossed the migration link', summary.migrationLinkBytes],
    ['storage_link_bytes', 'What the destination read from storage', summary.storageLinkBytes],
    ['restored_pages', 'Pages from storage, verified by content', summary.pagesVerified],
    ['listed_pages', 'Pages that the agent listed', summary.pagesListed],
  ];
  const lines = metrics.flatMap(([name, help, value]) =>
    value === undefined
      ? []
      : [
          `# HELP poolshift_migration_${name} ${help}.`,
          `# TYPE poolshift_migration_${name} gauge`,
          `poolshift_migration_${name}{${labels}} ${value}`,
        ],
  );
  return [...lines, '# EOF', ''].join('\n');
}
