/** A list in words: what it has, what it leaves out and why, and what failed. Pure. */
import { mebibytes } from '../../foundation/quantity.ts';
import { type LeftOutReason, leftOutReasons } from './left-out.ts';
import type { PackedRuns } from './packed-runs.ts';
import { nameOf, pageSizeBytes, type PageList } from './page-list.ts';

/** Lines; names and reasons in them are the guest's, and may hold anything. */
export function explanationOf({
  server,
  pageCount,
  runs,
  heatUnknown = [],
  sources,
  leftOut,
  failures,
}: Pick<PageList, 'server' | 'pageCount' | 'heatUnknown' | 'sources' | 'leftOut' | 'failures'> & {
  readonly runs: Pick<PackedRuns, 'coldPages'>;
}): string[] {
  const amount = (pages: number): string => mebibytes(pages * pageSizeBytes, 1).padStart(12);
  const reasons = Object.entries(leftOut) as [LeftOutReason, number][];
  return [
    `${server.product} ${server.version}, found by ${server.method === 'scan' ? 'a scan of its memory' : 'its block descriptors'}`,
    `${amount(pageCount)}  listed, on ${sources.map(nameOf).join(', ')}`,
    ...(runs.coldPages === 0
      ? []
      : [`${amount(runs.coldPages)}  of it cold: not used for a while, and last in the list`]),
    ...heatUnknown.map((text) => `which pages are cold is not known of ${text}`),
    ...reasons
      .sort(([, a], [, b]) => b - a)
      .map(([reason, pages]) => `${amount(pages)}  left out (${reason}): ${leftOutReasons[reason]}`),
    ...failures.map(({ program, code, message }) => `failed (${code}): ${program}: ${message}`),
  ];
}
