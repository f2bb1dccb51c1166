/** What README.md shows of a set: three figures and the table of claims, between two marks. Pure. */
import path from 'node:path';
import { claimsMarkdown } from '../claims/claims-table.ts';
import { findingsOf } from '../claims/claims.ts';
import { figures } from '../figures/all.ts';
import { contextOf, titleOf, type Figure } from '../figures/figure.ts';
import type { RunSet } from '../record/read-set.ts';
import { ReportError } from '../report-error.ts';

const [begin, end] = ['<!-- report -->', '<!-- /report -->'];

/** Loads by how much they have to tell, for figures that show one. */
const loads = ['rw', 'ro', 'idle'] as const;

/** Total time, throughput of the links, TPS: the latter two of the first of the loads that the set has. */
export function readmeFigures({ runs }: Pick<RunSet, 'runs'>): Figure[] {
  const load = loads.find((name) => runs.some(({ row }) => row.scenario === name));
  const endings = ['total-time', `nic-throughput-${load ?? ''}`, `tps-${load ?? ''}`];
  return endings.flatMap((ending) => figures.find(({ name }) => name.endsWith(`-${ending}`)) ?? []);
}

/**
 * @param folders of the sets, from the root of the checkout
 * @param images folder of the figures, likewise
 * @param flags that the report was made with, beside --readme
 */
export function readmeBlock(
  set: RunSet,
  folders: readonly string[],
  images: string,
  flags: readonly string[] = [],
): string {
  const context = contextOf(set, 'en', false);
  const sets = folders.map((folder) => `\`${folder}\``).join(', ');
  const lines = [
    begin,
    '',
    `All that follows is from ${sets} (${set.runs.length} runs), and made by`,
    '',
    `    npm run report -- ${[...folders, ...flags, '--readme'].join(' ')}`,
    '',
    ...readmeFigures(set).flatMap((figure) => [
      `![${titleOf(figure, context)}](${path.posix.join(images, figure.name)}.png)`,
      '',
    ]),
    'The paper’s claims, held against these runs ([how they are judged](docs/report.md)):',
    '',
    claimsMarkdown(findingsOf(set, 'en'), 'en'),
    end,
  ];
  return lines.join('\n');
}

/** @throws ReportError `no-block`: the page does not have both marks, in order */
export function withBlock(page: string, block: string): string {
  const from = page.indexOf(begin);
  const to = page.indexOf(end);
  if (from === -1 || to < from)
    throw new ReportError('no-block', `README.md has no place for figures: ${begin} and ${end}`);
  return page.slice(0, from) + block + page.slice(to + end.length);
}
