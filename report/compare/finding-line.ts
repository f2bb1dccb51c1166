/** A finding as one line for people. Pure. */
import type { Finding, FindingKind } from './compare.ts';

const titles: Readonly<Record<FindingKind, string>> = {
  regression: 'REGRESSION',
  improvement: 'improvement',
  'no-change': 'no change',
  'too-few-samples': 'too few samples',
};

export function findingLine(finding: Finding): string {
  const { kind, engine, metric, unit, base, next, change, interval, p, cells, runs } = finding;
  const range = interval === undefined ? '' : ` [${percent(interval[0])} to ${percent(interval[1])}]`;
  return [
    titles[kind].padEnd(16),
    engine.padEnd(9),
    metric.padEnd(21),
    `${amount(base, unit)} -> ${amount(next, unit)}`.padEnd(24),
    `${percent(change)}${range}`.padEnd(30),
    `p ${p < 0.001 ? '< 0.001' : `= ${p.toFixed(3)}`}`.padEnd(10),
    `delta ${finding.cliffsDelta.toFixed(2)}`.padEnd(12),
    `${cells} cells, ${runs.base} + ${runs.next} runs`,
  ].join(' ');
}

function amount(value: number, unit: string): string {
  switch (unit) {
    case 'ms':
      return value < 2000 ? `${value.toFixed(0)} ms` : `${(value / 1000).toFixed(2)} s`;
    case 'bytes':
      return `${(value / 1e6).toFixed(0)} MB`;
    default:
      return value.toFixed(2);
  }
}

function percent(change: number): string {
  if (!Number.isFinite(change)) return 'from zero';
  return `${change < 0 ? '' : '+'}${(100 * change).toFixed(1)} %`;
}
