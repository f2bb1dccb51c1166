/** What came of all runs: kinds of faults down, where the VM was in the end across. Pure. */
import { endNames, type EndName, type Violation } from './checker.ts';

/** One run, as it is written to the JSON lines. */
export interface SoakRow {
  readonly seed: number;
  readonly vm: 'small' | 'db';
  readonly fault: string;
  readonly moment: string;
  /** The fault's moment came. */
  readonly reached: boolean;
  readonly end: EndName;
  /** Exit statuses of source and destination engine. */
  readonly exits: readonly (number | string)[];
  /** An engine said "in doubt". */
  readonly inDoubt: boolean;
  /** An engine ended with 0, and a migrate_cancel that came together with the target's word left the VM at the source. */
  readonly sourceWentOn?: boolean | undefined;
  /** Early resume: a recovery brought what was missing. */
  readonly recovered?: boolean | undefined;
  readonly violations: readonly Violation[];
  readonly durationMs: number;
  /** Pages of memory compared; absent where nothing was to compare. */
  readonly pagesCompared?: number | undefined;
  /** Commits of the whole run, and those that were lost; whether the guest had to be booted from its disk for that. */
  readonly database?:
    { readonly startedAnew: boolean; readonly acknowledged: number; readonly lost: number } | undefined;
  readonly settings: Readonly<Record<string, string | number>>;
  /** The run itself could not be made: no word on the engine. */
  readonly failure?: string | undefined;
}

/** As Markdown: a line a fault, a column an end. */
export function soakTable(rows: readonly SoakRow[]): string {
  const made = rows.filter(({ failure }) => failure === undefined);
  const faults = [...new Set(made.map(({ fault }) => fault))].sort();
  const count = (of: (row: SoakRow) => boolean): number => made.filter(of).length;
  const cells = (ofFault: (row: SoakRow) => boolean): readonly string[] =>
    [
      count(ofFault),
      count((row) => ofFault(row) && row.reached),
      ...endNames.map((end) => count((row) => ofFault(row) && row.end === end)),
      count((row) => ofFault(row) && row.inDoubt),
      count((row) => ofFault(row) && row.sourceWentOn === true),
    ].map((number) => (number === 0 ? '' : String(number)));
  const table = [
    ['fault', 'runs', 'came', ...endNames, 'was in doubt', 'source went on'],
    ...faults.map((fault) => [fault, ...cells((row) => row.fault === fault)]),
    ['all', ...cells(() => true)],
  ];
  const widths = (table[0] ?? []).map((_, column) =>
    Math.max(...table.map((row) => row[column]?.length ?? 0)),
  );
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join(' | ')} |`;
  const rule = `| ${widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  const [head = [], ...body] = table;
  return [line(head), rule, ...body.map(line)].join('\n');
}

/** The sums in words, and each violation with the seed that repeats it. */
export function soakSummary(rows: readonly SoakRow[]): string {
  const made = rows.filter(({ failure }) => failure === undefined);
  const compared = made.filter(({ pagesCompared }) => pagesCompared !== undefined);
  const databases = made.flatMap(({ database }) => database ?? []);
  const sum = (of: (database: (typeof databases)[number]) => number): number =>
    databases.reduce((total, database) => total + of(database), 0);
  const violated = made.filter(({ violations }) => violations.length > 0);
  const failed = rows.filter(({ failure }) => failure !== undefined);
  const byName = new Map<string, number[]>();
  const form = rows[0]?.vm === 'db' ? '--vm db ' : '';
  for (const { seed, violations } of violated)
    for (const { name } of violations) byName.set(name, [...(byName.get(name) ?? []), seed]);
  return [
    `${made.length} runs, memory compared in ${compared.length}, ${violated.length} violated`,
    ...(databases.length === 0
      ? []
      : [
          `${sum(({ acknowledged }) => acknowledged)} commits acknowledged, ${sum(({ lost }) => lost)} lost; ` +
            `tables checked in ${databases.length} runs, in ${sum(({ startedAnew }) => (startedAnew ? 1 : 0))} after the VM was started anew`,
        ]),
    ...[...byName].map(([name, seeds]) => `${name}: ${seeds.length} (${form}--only ${seeds.join(' ')})`),
    ...failed.map(({ seed, failure }) => `seed ${seed} could not be run: ${failure ?? ''}`),
  ].join('\n');
}
