/** The interactive report: one HTML file with everything in it, which asks nothing of any server. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { paperScenarioNames } from '../../experiments/scenarios.ts';
import { tableTexts } from '../claims/claim-texts.ts';
import { paperClaimsOf } from '../claims/claims.ts';
import { claimsHtml } from '../claims/claims-table.ts';
import { figures } from '../figures/all.ts';
import { contextOf, describeRows, specOf, titleOf, type Spec } from '../figures/figure.ts';
import { textIn, type Language, type TextKey } from '../figures/text.ts';
import { fontFamilies } from '../figures/theme.ts';
import { unmeasuredRows } from '../record/cells.ts';
import { conditionNames, conditionsOf } from '../record/conditions.ts';
import type { Run, RunSet } from '../record/read-set.ts';
import { efficiencyOf, tpsRecoveryMsOf, type RunRow } from '../record/run-row.ts';
import { escapeHtml, scriptJson } from './escape-html.ts';
import { headlineTable } from './headline.ts';
import { pageScript, pageStyle } from './page-assets.ts';
import { pageTexts } from './page-texts.ts';

/** Minified builds for browsers lie beside the modules that the packages export. */
async function library(name: 'vega' | 'vega-lite' | 'vega-embed'): Promise<string> {
  const entry = fileURLToPath(import.meta.resolve(name));
  const code = await readFile(path.join(path.dirname(entry), `${name}.min.js`), 'utf8');
  // A source map would be a request.
  return code.replace(/^\/\/# sourceMappingURL=.*$/m, '').replaceAll('</script', '<\\/script');
}

/** What a page of a set that grows has more: places that are filled later, and the script that fills them. */
interface PageExtras {
  /** HTML before the set's figures. */
  readonly before: string;
  readonly script: string;
  readonly style: string;
}

/** Figures by name. */
export function pageSpecs(set: RunSet, language: Language): Readonly<Record<string, Spec>> {
  const context = contextOf(set, language, true);
  return Object.fromEntries(figures.map((figure) => [figure.name, specOf(figure, context)]));
}

export function claimsSection(set: RunSet, language: Language): string {
  const { text } = contextOf(set, language, false);
  const rows = unmeasuredRows(set.runs, paperScenarioNames);
  const unmeasured =
    rows.length === 0
      ? ''
      : `<p>${escapeHtml(`${text('subtitle.unmeasured')} ${describeRows(rows, text)}`)}</p>`;
  return `<div class="wide" tabindex="0">${claimsHtml(paperClaimsOf(set, language), language)}</div>${unmeasured}`;
}

export function runsSection(set: RunSet, language: Language): string {
  const tables =
    set.runs.length === 0 ? '' : `${conditionsTable(set.runs, language)}\n${runsTable(set.runs, language)}`;
  return `${tables}\n${leftOutList(set, pageTexts[language].leftOut)}`;
}

export async function pageOf(set: RunSet, language: Language, extras?: PageExtras): Promise<string> {
  const context = contextOf(set, language, true);
  const specs = pageSpecs(set, language);
  const libraries = await Promise.all([library('vega'), library('vega-lite'), library('vega-embed')]);
  const words = pageTexts[language];
  const sections = figures.map(
    (figure) =>
      `<section id="${figure.name}"><h2>${escapeHtml(titleOf(figure, context))}</h2>` +
      `<div class="figure" data-figure="${figure.name}"></div></section>`,
  );
  const links = figures.map(
    (figure) => `<li><a href="#${figure.name}">${escapeHtml(titleOf(figure, context))}</a></li>`,
  );
  return `<!doctype html>
<html lang="${language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:${extras === undefined ? '' : "; connect-src 'self'; base-uri 'none'; form-action 'none'"}">
<title>${escapeHtml(`${words.title}: ${set.names.join(', ')}`)}</title>
<link rel="icon" href="data:,">
<style>${pageStyle(fontFamilies[language])}${extras?.style ?? ''}</style>
</head>
<body>
<header><h1>${escapeHtml(words.title)}</h1><p>${escapeHtml(set.names.join(', '))}</p></header>
<nav><ul><li><a href="#results">${escapeHtml(words.results)}</a></li>${links.join('')}<li><a href="#claims">${escapeHtml(tableTexts.title[language])}</a></li><li><a href="#runs">${escapeHtml(words.runs)}</a></li></ul></nav>
<main>
${extras?.before ?? ''}<section id="results"><h2>${escapeHtml(words.results)}</h2>
<div id="results-content">${headlineTable(set, language)}</div>
<p>${escapeHtml(words.howTo)}</p></section>
${sections.join('\n')}
<section id="claims"><h2>${escapeHtml(tableTexts.title[language])}</h2>
<div id="claims-content">${claimsSection(set, language)}</div></section>
<section id="runs"><h2>${escapeHtml(words.runs)}</h2>
<div id="runs-content">${runsSection(set, language)}</div></section>
</main>
<script>${libraries.join('\n</script>\n<script>')}</script>
<script>const specs = ${scriptJson(specs)};
${pageScript}${extras?.script ?? ''}</script>
</body>
</html>
`;
}

function conditionsTable(runs: readonly Run[], language: Language): string {
  const all = runs.map(conditionsOf);
  const revisions = runs.map(({ manifest: { revision } }) =>
    revision.commit === undefined
      ? 'unknown'
      : `${revision.commit.slice(0, 12)}${revision.dirty ? ' + changes' : ''}`,
  );
  const rows = [
    ...conditionNames.map((name) => [name, all.map((conditions) => conditions[name])] as const),
    ['revision', revisions] as const,
  ].map(
    ([name, values]) =>
      `<tr><th>${escapeHtml(textIn(language, `condition.${name}`))}</th><td>${escapeHtml([...new Set(values)].join(' | '))}</td></tr>`,
  );
  return `<div class="wide" tabindex="0"><table>${rows.join('')}</table></div>`;
}

const runColumns: readonly (readonly [
  title: TextKey,
  value: (row: RunRow, text: (key: TextKey) => string) => string,
])[] = [
  ['run.outcome', (row) => row.outcome ?? ''],
  ['run.total', (row) => shown(row.total_time_ms, 1000, 1)],
  ['run.downtime', (row) => shown(row.downtime_stop_resume_ms, 1, 0)],
  ['run.client-gap', (row) => shown(row.downtime_client_ms, 1, 0)],
  ['run.migration-link', (row) => shown(row.migration_link_bytes, 1e6, 0)],
  ['run.storage-link', (row) => shown(row.storage_link_bytes_dst, 1e6, 0)],
  ['run.tps-before', (row) => shown(row.tps_before, 1, 1)],
  ['run.tps-during', (row) => shown(row.tps_during, 1, 1)],
  [
    'run.tps-recovery',
    (row, text) =>
      row.tps_recovery_measurable === false
        ? text('mark.not-measurable')
        : shown(tpsRecoveryMsOf(row), 1000, 1),
  ],
  ['run.efficiency', (row) => shown(efficiencyOf(row), 1, 2)],
  ['run.restored', (row) => shown(row.pages_restored, 1, 0)],
  ['run.cancelled', (row) => shown(row.pages_cancelled, 1, 0)],
  ['run.mismatched', (row) => shown(row.pages_mismatched, 1, 0)],
  ['run.unreadable', (row) => shown(row.pages_unreadable, 1, 0)],
  ['run.lost', (row) => shown(row.ledger_lost, 1, 0)],
];

const shown = (value: number | undefined, divisor: number, digits: number): string =>
  value === undefined ? '–' : (value / divisor).toFixed(digits);

function runsTable(runs: readonly Run[], language: Language): string {
  const text = (key: TextKey): string => textIn(language, key);
  const hasSets = new Set(runs.map(({ set }) => set)).size > 1;
  const titles: readonly TextKey[] = ['run.name', ...runColumns.map(([title]) => title)];
  const head = titles.map((title) => `<th>${escapeHtml(textIn(language, title))}</th>`);
  const rows = runs.map(({ name, set, row }) => {
    const title = hasSets ? `${path.basename(set)}/${name}` : name;
    const cells = runColumns.map(([, value]) => `<td class="number">${escapeHtml(value(row, text))}</td>`);
    return `<tr><td>${escapeHtml(title)}</td>${cells.join('')}</tr>`;
  });
  const note = runs.some(({ row }) => row.tps_recovery_measurable === false)
    ? `<p>${escapeHtml(text('note.not-measurable'))}</p>`
    : '';
  return `<div class="wide" tabindex="0"><table><thead><tr>${head.join('')}</tr></thead><tbody>${rows.join('\n')}</tbody></table></div>${note}`;
}

function leftOutList({ leftOut }: RunSet, title: string): string {
  if (leftOut.length === 0) return '';
  const items = leftOut.map(({ name, reason }) => `<li>${escapeHtml(`${name}: ${reason}`)}</li>`);
  return `<h3>${escapeHtml(title)}</h3><ul>${items.join('')}</ul>`;
}
