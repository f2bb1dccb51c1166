/** A finding as one line for people. Pure. */
import { megabytes, milliseconds, seconds } from '../../foundation/quantity.ts';
import type { Finding, FindingKind } from './compare.ts';

const titles: Readonly<Record<FindingKind, string>> = {
  regression: 'REGRESSION',
  improvement: 'improvement',
  'no-change': 'no change',
  'too-few-samples': 'too few samples',
};

/** What the columns of `findingLine` are. */
export const findingHead = [
  'verdict'.padEnd(16),
  'engine'.padEnd(13),
  'metric'.padEnd(20),
  'base -> new'.padEnd(22),
  'change [95 % interval]'.padEnd(28),
  'p (Holm)'.padEnd(9),
  'Cliff’s delta',
  'cells and runs (base + new)',
].join(' ');

export function findingLine(finding: Finding): string {
  const { kind, engine, metric, unit, base, next, change, interval, p, cells, runs } = finding;
  const range = interval === undefined ? '' : ` [${percent(interval[0])} to ${percent(interval[1])}]`;
  return [
    titles[kind].padEnd(16),
    engine.padEnd(13),
    metric.padEnd(20),
    `${amount(base, unit)} -> ${amount(next, unit)}`.padEnd(22),
    `${percent(change)}${range}`.padEnd(28),
    `p ${p < 0.001 ? '< 0.001' : `= ${p.toFixed(3)}`}`.padEnd(9),
    finding.cliffsDelta.toFixed(2).padEnd(13),
    `${cells} ${cells === 1 ? 'cell' : 'cells'}, ${runs.base} + ${runs.next} runs`,
  ].join(' ');
}

function amount(value: number, unit: string): string {
  switch (unit) {
    case 'ms':
      return value < 2000 ? milliseconds(value) : seconds(value, 2);
    case 'bytes':
      return megabytes(value);
    default:
      return value.toFixed(2);
  }
}

function percent(change: number): string {
  if (!Number.isFinite(change)) return 'from zero';
  return `${change < 0 ? '' : '+'}${(100 * change).toFixed(1)} %`;
}
