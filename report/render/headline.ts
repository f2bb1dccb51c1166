/** What a set shows, for a reader who sees nothing else: each method's time, downtime, and whether anything was lost. Pure. */
import { inSeconds } from '../../foundation/quantity.ts';
import { conditionsOfAll } from '../figures/caption.ts';
import { contextOf, sum, type FigureContext } from '../figures/figure.ts';
import type { Language } from '../figures/text.ts';
import { convergedInPart, firstVmsOf, medianOf, neverConverged, type Cell } from '../record/cells.ts';
import type { RunSet } from '../record/read-set.ts';
import { escapeHtml, wideTable } from './html.ts';
import { pageTexts } from './page-texts.ts';

const words = {
  en: {
    heads: ['Method', 'Total time, s', 'Speed-up', 'Downtime, ms', 'Lost', 'Runs'],
    note: 'Medians. Speed-up: pre-copy’s total time divided by the method’s. Downtime: STOP at the source to RESUME at the target. Lost: acknowledged commits that were not there afterwards. –: does not apply, or was not measured. n/c: did not converge.',
    nothing: 'No run has ended with numbers.',
    against: 'Times as fast as pre-copy: ',
    lost: (lost: number, runs: number) =>
      `${lost === 0 ? 'no acknowledged commit was' : lost === 1 ? '1 acknowledged commit was' : `${lost} acknowledged commits were`} lost in ` +
      (runs === 1 ? 'one run' : `${runs} runs`),
    leftOut: (count: number) =>
      `${count === 1 ? '1 run is' : `${count} runs are`} not in these numbers: see the end of the page`,
    neverBegun: (count: number) =>
      `${count === 1 ? '1 planned run has' : `${count} planned runs have`} not been made yet`,
    cut: 'Did not converge: ',
    inPart: (converged: number, runs: number) => `${converged} of ${runs} converged`,
    stop: '. ',
  },
  ja: {
    heads: ['方式', '総移行時間（s）', '高速化率', 'ダウンタイム（ms）', '損失', '実行数'],
    note: '中央値。高速化率：pre-copy の総移行時間 / 各方式の総移行時間。ダウンタイム：移行元の STOP から移行先の RESUME まで。損失：応答済みで失われたコミット数。–：該当しない、または計測なし。n/c：収束せず。',
    nothing: '値のある実行はない。',
    against: 'pre-copy に対する速さ（倍）：',
    lost: (lost: number, runs: number) =>
      lost === 0
        ? `${runs} 回の実行で失われたコミットはない`
        : `${runs} 回の実行で ${lost} 件のコミットが失われた`,
    leftOut: (count: number) => `${count} 回の実行は含まれない（ページ末尾を参照）`,
    neverBegun: (count: number) => `計画された ${count} 回の実行は未実施`,
    cut: '収束せず：',
    inPart: (converged: number, runs: number) => `${runs} 回中 ${converged} 回収束`,
    stop: '。',
  },
} as const satisfies Readonly<Record<Language, unknown>>;

const shown = (value: number | undefined, text: (value: number) => string): string =>
  value === undefined ? '–' : text(value);

/** Pre-copy's total time in the same row over the cell's; undefined where one of them has none. */
function speedUpOf(cell: Cell, cells: readonly Cell[]): number | undefined {
  const precopy = cells.find(
    ({ engine, scenario, paperRowGib }) =>
      engine === 'precopy' && scenario === cell.scenario && paperRowGib === cell.paperRowGib,
  );
  const [total, base] = [cell, precopy].map((one) => one && medianOf(one, (row) => row.total_time_ms));
  return total === undefined || base === undefined ? undefined : base / total;
}

/** "2.44 to 2.53" */
function rangeText(values: readonly number[]): string {
  const [low, high] = [Math.min(...values), Math.max(...values)].map((value) => value.toFixed(2));
  return low === high ? (low ?? '') : `${low ?? ''}–${high ?? ''}`;
}

/** The set in two sentences. */
function leadOf(set: RunSet, language: Language, { cells, engines, engineTitle }: FigureContext): string {
  const { against, lost, leftOut, neverBegun, cut, inPart, stop, nothing } = words[language];
  const methods = engines
    .filter((engine) => engine !== 'precopy')
    .flatMap((engine) => {
      const speedUps = cells
        .filter((cell) => cell.engine === engine)
        .flatMap((cell) => speedUpOf(cell, cells) ?? []);
      return speedUps.length === 0
        ? []
        : [{ said: `${engineTitle(engine)} ${rangeText(speedUps)}`, most: Math.max(...speedUps) }];
    })
    .sort((a, b) => b.most - a.most)
    .map(({ said }) => said);
  const cutMethods = new Set(
    cells.flatMap((cell) => {
      if (neverConverged(cell)) return engineTitle(cell.engine);
      const part = convergedInPart(cell);
      return part === undefined ? [] : `${engineTitle(cell.engine)} (${inPart(part.converged, part.runs)})`;
    }),
  );
  // What is lost of any VM counts, also in a run that failed for it; VMs that were moved at once are one run.
  const counted = set.runs.filter(({ row }) => row.ledger_lost !== undefined);
  const planned = set.leftOut.filter((run) => run.neverBegun === true).length;
  const excluded = set.leftOut.length - planned;
  const lostAside = set.leftOut.flatMap((run) => run.lost ?? []);
  const sentences = [
    ...(set.runs.length === 0 ? [nothing] : []),
    ...(methods.length === 0 ? [] : [against + methods.join(language === 'ja' ? '、' : ', ')]),
    ...(cutMethods.size === 0 ? [] : [cut + [...cutMethods].join(', ')]),
    ...(counted.length + lostAside.length === 0
      ? []
      : [
          lost(
            sum(...lostAside, ...counted.map(({ row }) => row.ledger_lost)) ?? 0,
            firstVmsOf(counted).length + lostAside.length,
          ),
        ]),
    ...(planned === 0 ? [] : [neverBegun(planned)]),
    ...(excluded === 0 ? [] : [leftOut(excluded)]),
  ];
  return sentences
    .map((sentence) => sentence.replace(/[.。]$/, '') + stop)
    .map((sentence) => (language === 'en' ? sentence.charAt(0).toUpperCase() + sentence.slice(1) : sentence))
    .join('')
    .trim();
}

/** The lead, and a line for each cell that has runs. */
export function resultsHtml(set: RunSet, language: Language): string {
  const context = contextOf(set, language, false);
  const { cells, text, engineTitle, panelTitle } = context;
  const { heads, note, inPart } = words[language];
  const measured = cells.filter(({ runs }) => runs.length > 0);
  const lineOf = (cell: Cell): string => {
    const { runs } = cell;
    const total = medianOf(cell, (row) => row.total_time_ms);
    const isCut = total === undefined && runs.some(({ row }) => row.outcome === 'not-converged');
    const part = convergedInPart(cell);
    const lost = sum(...runs.map(({ row }) => row.ledger_lost));
    const numbers = [
      isCut ? text('mark.not-converged') : shown(total, (ms) => inSeconds(ms)),
      shown(speedUpOf(cell, cells), (ratio) => ratio.toFixed(2)),
      shown(
        medianOf(cell, (row) => row.downtime_stop_resume_ms),
        (ms) => ms.toFixed(0),
      ),
      shown(lost, String),
      part === undefined ? String(firstVmsOf(runs).length) : inPart(part.converged, part.runs),
    ];
    const columns = numbers.map((number) => `<td class="number">${escapeHtml(number)}</td>`);
    return `<tr><th scope="row">${escapeHtml(engineTitle(cell.engine))}</th>${columns.join('')}</tr>`;
  };
  const groups = [...Map.groupBy(measured, ({ scenario, paperRowGib }) => `${scenario} ${paperRowGib}`)].map(
    ([, [first, ...others]]) => {
      if (first === undefined) return '';
      const title = `${text(`scenario.${first.scenario}`)}, ${panelTitle(first.paperRowGib)}`;
      return (
        `<tbody><tr><th scope="rowgroup" colspan="${heads.length}">${escapeHtml(title)}</th></tr>` +
        `${[first, ...others].map(lineOf).join('\n')}</tbody>`
      );
    },
  );
  const lead = leadOf(set, language, context);
  const paragraphs = lead === '' ? '' : `<p class="lead">${escapeHtml(lead)}</p>`;
  if (groups.length === 0) return paragraphs;
  const head = heads.map((title) => `<th scope="col">${escapeHtml(title)}</th>`).join('');
  const { conditions, remarks } = conditionsOfAll(context);
  return (
    paragraphs +
    wideTable(
      pageTexts[language].results,
      `<table class="headline"><thead><tr>${head}</tr></thead>${groups.join('\n')}</table>`,
    ) +
    `<p>${escapeHtml(note)}</p><p>${escapeHtml(conditions)}</p>` +
    remarks.map((line) => `<p class="remark">${escapeHtml(line)}</p>`).join('')
  );
}
