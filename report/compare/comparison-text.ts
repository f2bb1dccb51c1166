/** Findings as lines for people, and as a Markdown table for a pull request. Pure. */
import { counted, megabytes, milliseconds, seconds } from '../../foundation/quantity.ts';
import type { Difference } from '../record/conditions.ts';
import { markdownTable } from '../render/markdown-table.ts';
import type { Comparison, Finding, FindingKind, Verdict } from './compare.ts';

const titles = {
  regression: 'REGRESSION',
  improvement: 'improvement',
  'no-change': 'no change',
  'within-noise': 'within noise',
  'too-few-samples': 'too few runs',
} as const satisfies Readonly<Record<FindingKind, string>>;
const findingKinds = Object.keys(titles) as readonly FindingKind[];

const verdicts: Readonly<Record<Verdict, string>> = {
  regression: 'REGRESSION',
  'no-regression': 'no regression',
  'too-few-samples': 'too few runs to tell',
};

const head = ['verdict', 'engine', 'metric', 'base -> new', 'change [95 % interval]', 'p (Holm)'] as const;

const cellsOfLine = (finding: Finding): string[] => {
  const { kind, engine, metric, unit, base, next, change, interval, p } = finding;
  return [
    titles[kind],
    engine,
    metric,
    `${amount(base, unit)} -> ${amount(next, unit)}`,
    interval === undefined
      ? `${percent(change)} %`
      : `${percent(change)} % [${percent(interval[0])} to ${percent(interval[1])}]`,
    p < 0.001 ? '< 0.001' : p.toFixed(3),
  ];
};

/** A line for each finding, and below it, where a change that would matter is not told, how many repeats would tell it. */
export function findingLines(findings: readonly Finding[]): string[] {
  const rows = [head, ...findings.map(cellsOfLine)];
  const widths = head.map((_, index) => Math.max(...rows.map((row) => row[index]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join(' ')
      .trimEnd();
  return rows.flatMap((row, index) => {
    const needed = neededText(findings[index - 1]);
    return needed === undefined ? [line(row)] : [line(row), `${' '.repeat(4)}${needed}`];
  });
}

function neededText(finding: Finding | undefined): string | undefined {
  if (!finding?.matters || finding.repeatsNeeded === undefined) return undefined;
  const { repeatsNeeded, runs, cells } = finding;
  return (
    `needs >= ${repeatsNeeded} repeats of each cell and build to tell; ` +
    `has ${runs.base} + ${runs.next} runs in ${counted(cells, 'cell')}`
  );
}

/** The comparison in one line. */
export function summaryLine({ verdict, findings, unpaired, damaged }: Comparison): string {
  const remarks = [
    ...(damaged.next.length === 0 ? [] : [`; ${counted(damaged.next.length, 'run')} with damage in new`]),
    ...(unpaired.base.length === 0 ? [] : [`; ${counted(unpaired.base.length, 'cell')} missing in new`]),
  ].join('');
  if (findings.length === 0) return `verdict: nothing to compare: no cell in common${remarks}`;
  const parts = findingKinds.flatMap((kind) => {
    const count = findings.filter((finding) => finding.kind === kind).length;
    return count === 0 ? [] : [`${count} ${titles[kind]}`];
  });
  const needed = Math.max(
    0,
    ...findings.map(({ kind, repeatsNeeded }) => (kind === 'too-few-samples' ? (repeatsNeeded ?? 0) : 0)),
  );
  return `verdict: ${verdicts[verdict]}: ${parts.join(', ')}${needed === 0 ? '' : ` (all could tell with ${needed} repeats)`}${remarks}`;
}

export const differenceLines = (differences: readonly Difference[]): string[] =>
  differences.map(({ condition, values }) => `different: ${condition}: ${values.join(' | ')}`);

/** What stands beside the findings, a line each: damage, cells of one set only, runs that failed, runs that are in no number. */
export function remarkLines({ unpaired, damaged, failed, leftOut }: Comparison): string[] {
  return [
    ...damaged.base.map((run) => `damage in base: ${run}`),
    ...damaged.next.map((run) => `damage in new: ${run}`),
    ...unpaired.base.map((cell) => `missing in new: ${cell}`),
    ...unpaired.next.map((cell) => `missing in base: ${cell}`),
    ...failed.base.map((name) => `failed in base: ${name}`),
    ...failed.next.map((name) => `failed in new: ${name}`),
    ...leftOut.base.map(({ name, reason }) => `left out of base: ${name} ${reason}`),
    ...leftOut.next.map(({ name, reason }) => `left out of new: ${name} ${reason}`),
  ];
}

/** For a comment on a pull request. */
export function comparisonMarkdown(
  comparison: Comparison,
  sets: { readonly base: string; readonly next: string; readonly differences: readonly Difference[] },
): string {
  const rows = comparison.findings.map((finding) => [
    ...cellsOfLine(finding),
    `${finding.runs.base} + ${finding.runs.next}`,
    finding.repeatsNeeded === undefined ? '' : `>= ${finding.repeatsNeeded}`,
  ]);
  const remarks = [...differenceLines(sets.differences), ...remarkLines(comparison)].map(
    (line) => `- ${line}`,
  );
  return [
    `**${summaryLine(comparison)}**`,
    '',
    `Base: ${sets.base}; new: ${sets.next}.`,
    '',
    ...(rows.length === 0 ? [] : [markdownTable([[...head, 'runs', 'repeats needed'], ...rows])]),
    ...remarks,
  ].join('\n');
}

function amount(value: number, unit: string): string {
  switch (unit) {
    case 'ms':
    case 'ms per GiB of memory':
      return value < 2000 ? milliseconds(value) : seconds(value, 2);
    case 'bytes':
      return megabytes(value);
    default:
      return value.toFixed(2);
  }
}

function percent(change: number): string {
  if (!Number.isFinite(change)) return 'from 0, infinite';
  return `${change < 0 ? '' : '+'}${(100 * change).toFixed(1)}`;
}
