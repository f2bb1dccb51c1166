/** What README.md shows of a set: one figure and the table of engines, between two marks. Pure. */
import path from 'node:path';
import { milliseconds, seconds } from '../../foundation/quantity.ts';
import { CodedError } from '../../foundation/coded-error.ts';
import { engines, engineNames } from '../../experiments/engines.ts';
import { linkRatesText } from '../../experiments/link-rates.ts';
import { scenarios } from '../../experiments/scenarios.ts';
import { figures } from '../figures/all.ts';
import { contextOf, titleOf, type Figure } from '../figures/figure.ts';
import type { ResultsPage } from './results-page.ts';
import {
  cellsOf,
  convergedInPart,
  enginesOf,
  firstVmsOf,
  medianOf,
  neverConverged,
  paperRowsGibOf,
  scenariosOf,
  type Cell,
} from '../record/cells.ts';
import type { Run, RunSet } from '../record/read-set.ts';
import { linkRatesOf } from '../record/run-row.ts';
import { markdownTable } from '../render/markdown-table.ts';

const [begin, end] = ['<!-- report -->', '<!-- /report -->'];

/** Loads by how much they have to tell, for a figure that shows one. */
const loads = ['rw', 'ro', 'idle'] as const;

/** Throughput of both links, which shows how long a migration takes and why: of the first of the loads that the set has. */
export function readmeFigure({ runs }: Pick<RunSet, 'runs'>): Figure {
  const load = loads.find((name) => runs.some(({ row }) => row.scenario === name)) ?? 'rw';
  const figure = figures.find(({ name }) => name.endsWith(`-nic-throughput-${load}`));
  if (figure === undefined) throw new RangeError(`no figure of throughput, ${load}`);
  return figure;
}

function figuresOf(cell: Cell | undefined): string {
  if (cell === undefined) return '–';
  if (neverConverged(cell)) return 'did not converge';
  const totalMs = medianOf(cell, (row) => row.total_time_ms);
  const downtimeMs = medianOf(cell, (row) => row.downtime_stop_resume_ms);
  if (totalMs === undefined) return '–';
  const part = convergedInPart(cell);
  const figures = [seconds(totalMs), ...(downtimeMs === undefined ? [] : [milliseconds(downtimeMs)])].join(
    ', ',
  );
  return part === undefined ? figures : `${figures} (${part.converged} of ${part.runs} converged)`;
}

function engineTitle(engine: string): string {
  const known = engineNames.find((name) => name === engine);
  return known === undefined ? `\`${engine}\`` : `\`${engine}\`: ${engines[known].title}`;
}

/** Medians of total time and downtime: a line for each engine and memory row, a column for each load. */
export function enginesTable(set: RunSet): string {
  const cells = cellsOf(set);
  const sizes = paperRowsGibOf(cells);
  const columns = scenariosOf(cells);
  const rows = sizes.flatMap((paperRowGib) =>
    enginesOf(set).map((engine) => [
      engineTitle(engine) + (sizes.length > 1 ? `, \`--mem ${paperRowGib}\`` : ''),
      ...columns.map((scenario) =>
        figuresOf(
          cells.find(
            (cell) =>
              cell.scenario === scenario && cell.paperRowGib === paperRowGib && cell.engine === engine,
          ),
        ),
      ),
    ]),
  );
  return markdownTable([['Method', ...columns.map((scenario) => scenarios[scenario].title)], ...rows]);
}

/** How many repeats the cells have: "3" or "1 to 3". */
function repeatsOf(cells: readonly Cell[]): string {
  const counts = cells.map(({ runs }) => firstVmsOf(runs).length).filter((count) => count > 0);
  const [min, max] = [Math.min(...counts), Math.max(...counts)];
  return min === max ? String(min) : `${min} to ${max}`;
}

/** "2 GiB": of the runs' VMs. */
function memoryOf(runs: readonly Run[]): string {
  const sizes = new Set(runs.flatMap(({ row }) => row.vm_memory_bytes ?? []));
  return [...sizes]
    .sort((a, b) => a - b)
    .map((bytes) => `${bytes / 2 ** 30} GiB`)
    .join(', ');
}

function ratesOf(runs: readonly Run[]): string {
  const byRate = runs.toSorted((a, b) => a.row.link_bits_per_second - b.row.link_bits_per_second);
  return [...new Set(byRate.map(({ row }) => linkRatesText(linkRatesOf(row))))].join('; ');
}

/** The figure as docs/results.md shows it of the same sets, from the root of the checkout; undefined where it does not. */
export function readmePicture(
  set: Pick<RunSet, 'runs'>,
  folders: readonly string[],
  { blocks }: Pick<ResultsPage, 'blocks'>,
): string | undefined {
  const ofSets = blocks.filter(({ sets }) => sets.join(' ') === folders.join(' '));
  const shown = ofSets.flatMap(({ lines }) =>
    lines.flatMap((line) => /^!\[.*\]\((.*)\)$/.exec(line)?.[1] ?? []),
  );
  const found = shown.find((picture) => picture.endsWith(`/${readmeFigure(set).name}.png`));
  return found === undefined ? undefined : path.posix.join('docs', found);
}

/** Whole runs, from preparation to the last check: "5 to 7 minutes". Empty where events are missing. */
function durationsOf(runs: readonly Run[]): string {
  const minutes = runs.flatMap(({ events }) => {
    const [first, last] = [events.at(0), events.at(-1)];
    return first?.event === 'run-started' && last?.event === 'run-ended'
      ? (last.tMs - first.tMs) / 60_000
      : [];
  });
  if (minutes.length === 0) return '';
  const [min, max] = [Math.min(...minutes).toFixed(0), Math.max(...minutes).toFixed(0)];
  return ` A run took ${min === max ? min : `${min} to ${max}`} minutes from start to end.`;
}

/**
 * @param folders of the sets, from the root of the checkout
 * @param picture of the figure, likewise
 * @param flags that the report was made with, beside --readme
 */
export function readmeBlock(
  set: RunSet,
  folders: readonly string[],
  picture: string | undefined,
  flags: readonly string[] = [],
): string {
  const title = titleOf(readmeFigure(set), contextOf(set, 'en', false));
  const lines = [
    begin,
    '',
    ...(picture === undefined ? [] : [`![${title}](${picture})`, '']),
    `Total time and downtime (STOP to RESUME), medians of ${repeatsOf(cellsOf(set))} runs each: VM of ${memoryOf(set.runs)}, ` +
      `links of ${ratesOf(set.runs)}.${durationsOf(set.runs)}`,
    '',
    enginesTable(set),
    `Made by \`npm run report -- ${[...folders, ...flags, '--readme'].join(' ')}\`.`,
    '',
    end,
  ];
  return lines.join('\n');
}

/** @throws CodedError 'report' `no-block`: the page does not have both marks, in order */
export function withBlock(page: string, block: string): string {
  const from = page.indexOf(begin);
  const to = page.indexOf(end);
  if (from === -1 || to < from)
    throw new CodedError('report', 'no-block', `README.md has no place for the report: ${begin} and ${end}`);
  return page.slice(0, from) + block + page.slice(to + end.length);
}
