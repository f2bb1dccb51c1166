/** What a set shows, for a reader who sees nothing else: each method's time, the VM's standstill, and whether anything was lost. Pure. */
import { inSeconds } from '../../foundation/quantity.ts';
import { contextOf } from '../figures/figure.ts';
import type { Language } from '../figures/text.ts';
import type { Cell } from '../record/cells.ts';
import type { RunSet } from '../record/read-set.ts';
import type { RunRow } from '../record/run-row.ts';
import { quantile } from '../statistics/spread.ts';
import { escapeHtml } from './escape-html.ts';

const heads = {
  en: [
    'Load',
    'Memory',
    'Method',
    'Runs',
    'Total time, s',
    'Times as fast as pre-copy',
    'VM stood, ms',
    'Commits lost',
  ],
  ja: [
    '負荷',
    'メモリ',
    '方式',
    '実行数',
    '総移行時間（秒）',
    'pre-copy 比（倍）',
    'VM 停止（ms）',
    '失われたコミット',
  ],
} as const satisfies Readonly<Record<Language, readonly string[]>>;

function medianOf({ runs }: Cell, value: (row: RunRow) => number | undefined): number | undefined {
  const values = runs.flatMap(({ row }) => value(row) ?? []);
  return values.length === 0 ? undefined : quantile(values, 0.5);
}

const shown = (value: number | undefined, text: (value: number) => string): string =>
  value === undefined ? '–' : text(value);

/** A line for each cell that has runs: medians. */
export function headlineTable(set: RunSet, language: Language): string {
  const { cells, text, engineTitle, panelTitle } = contextOf(set, language, false);
  const totalOf = (cell: Cell): number | undefined => medianOf(cell, (row) => row.total_time_ms);
  const lines = cells
    .filter(({ runs }) => runs.length > 0)
    .map((cell) => {
      const precopy = cells.find(
        ({ engine, scenario, paperRowGib }) =>
          engine === 'precopy' && scenario === cell.scenario && paperRowGib === cell.paperRowGib,
      );
      const [total, base] = [totalOf(cell), precopy && totalOf(precopy)];
      const faster = total === undefined || base === undefined ? undefined : base / total;
      const isCut = total === undefined && cell.runs.some(({ row }) => row.outcome === 'not-converged');
      const lost = cell.runs.flatMap(({ row }) => row.ledger_lost ?? []);
      const numbers = [
        String(cell.runs.length),
        isCut ? text('mark.not-converged') : shown(total, (ms) => inSeconds(ms)),
        shown(faster, (ratio) => ratio.toFixed(2)),
        shown(
          medianOf(cell, (row) => row.downtime_stop_resume_ms),
          (ms) => ms.toFixed(0),
        ),
        lost.length === 0 ? '–' : String(lost.reduce((sum, count) => sum + count, 0)),
      ];
      const words = [text(`scenario.${cell.scenario}`), panelTitle(cell.paperRowGib)];
      return (
        `<tr>${words.map((word) => `<td>${escapeHtml(word)}</td>`).join('')}` +
        `<th scope="row">${escapeHtml(engineTitle(cell.engine))}</th>` +
        `${numbers.map((number) => `<td class="number">${escapeHtml(number)}</td>`).join('')}</tr>`
      );
    });
  if (lines.length === 0) return '';
  const head = heads[language].map((title) => `<th scope="col">${escapeHtml(title)}</th>`).join('');
  return `<div class="wide" tabindex="0"><table class="headline"><thead><tr>${head}</tr></thead><tbody>${lines.join('\n')}</tbody></table></div>`;
}
