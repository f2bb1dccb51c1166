/** The interactive report: one HTML file with everything in it, which asks nothing of any server. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { paperScenarioNames } from '../../experiments/scenarios.ts';
import { tableTexts } from '../claims/claim-texts.ts';
import { paperClaimsOf } from '../claims/claims.ts';
import { claimsHtml } from '../claims/claims-table.ts';
import { figures } from '../figures/all.ts';
import { describeRows, type Caption } from '../figures/caption.ts';
import { drawnFigure } from '../figures/drawn-figure.ts';
import { contextOf, titleOf, type Figure, type Spec } from '../figures/figure.ts';
import { textIn, type Language, type TextKey } from '../figures/text.ts';
import { fontFamilies } from '../figures/theme.ts';
import { unmeasuredRows } from '../record/cells.ts';
import { conditionNames, conditionsOf } from '../record/conditions.ts';
import type { Run, RunSet } from '../record/read-set.ts';
import { efficiencyOf, tpsRecoveryMsOf, type RunRow } from '../record/run-row.ts';
import { escapeHtml, scriptJson, wideTable } from './html.ts';
import { resultsHtml } from './headline.ts';
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

/** A figure on the page: its caption is text of the page, which wraps and is read aloud. */
interface PageFigure {
  readonly title: string;
  readonly spec: Spec;
  /** HTML. */
  readonly caption: string;
}

/** What the page says of a set, in HTML but for the figures. */
interface PageContent {
  readonly results: string;
  /** By name: those that the set has something to show in. */
  readonly figures: Readonly<Record<string, PageFigure>>;
  readonly claims: string;
  readonly runs: string;
}

export function pageContent(set: RunSet, language: Language): PageContent {
  const context = contextOf(set, language, true);
  const drawn = figures.map((figure) => ({ figure, made: drawnFigure(figure, context) }));
  const words = pageTexts[language];
  const empty = drawn.flatMap(({ figure, made }) => (made === undefined ? [titleOf(figure, context)] : []));
  return {
    results: resultsHtml(set, language),
    figures: Object.fromEntries(
      drawn.flatMap(({ figure, made }) =>
        made === undefined
          ? []
          : [
              [
                figure.name,
                {
                  title: made.caption.title,
                  spec: made.spec,
                  caption: captionHtml(made.caption, words.detailsOf),
                },
              ],
            ],
      ),
    ),
    claims: claimsSection(set, language),
    runs: runsSection(set, language) + (empty.length === 0 ? '' : listHtml(words.notDrawn, empty)),
  };
}

function captionHtml(caption: Caption, detailsOf: string): string {
  const { notes, remarks, conditions, unmeasured, runs } = caption;
  const paragraph = (line: string): string => (line === '' ? '' : `<p>${escapeHtml(line)}</p>`);
  return (
    paragraph(notes) +
    remarks.map((line) => `<p class="remark">${escapeHtml(line)}</p>`).join('') +
    `<details><summary>${escapeHtml(detailsOf.replace('{}', caption.title))}</summary>` +
    `${[conditions, unmeasured, runs].map(paragraph).join('')}</details>`
  );
}

function claimsSection(set: RunSet, language: Language): string {
  const { text } = contextOf(set, language, false);
  const rows = unmeasuredRows(set.runs, paperScenarioNames);
  const unmeasured =
    rows.length === 0
      ? ''
      : `<p>${escapeHtml(`${text('subtitle.unmeasured')} ${describeRows(rows, text)}`)}</p>`;
  return `${claimsHtml(paperClaimsOf(set, language), language)}${unmeasured}`;
}

export function runsSection(set: RunSet, language: Language): string {
  const tables =
    set.runs.length === 0 ? '' : `${conditionsTable(set.runs, language)}\n${runsTable(set.runs, language)}`;
  const leftOut = set.leftOut.map(({ name, reason }) => `${name}: ${reason}`);
  return `${tables}\n${leftOut.length === 0 ? '' : listHtml(pageTexts[language].leftOut, leftOut)}`;
}

export async function pageOf(set: RunSet, language: Language, extras?: PageExtras): Promise<string> {
  const context = contextOf(set, language, true);
  const content = pageContent(set, language);
  const libraries = await Promise.all([library('vega'), library('vega-lite'), library('vega-embed')]);
  const words = pageTexts[language];
  const hidden = (name: string): string => (content.figures[name] === undefined ? ' hidden' : '');
  /** Each figure lies beside the page, too. */
  const fileLink = (figure: Figure): string =>
    extras !== undefined || content.figures[figure.name] === undefined
      ? ''
      : `<noscript><p><a href="${figure.name}.svg">${escapeHtml(titleOf(figure, context))} (SVG)</a></p></noscript>`;
  const sections = figures.map(
    (figure) =>
      `<section id="${figure.name}"${hidden(figure.name)}><h2>${escapeHtml(titleOf(figure, context))}</h2>` +
      `<figure><div class="figure" data-figure="${figure.name}"></div>${fileLink(figure)}` +
      `<figcaption id="${figure.name}-caption">${content.figures[figure.name]?.caption ?? ''}</figcaption></figure></section>`,
  );
  const links = figures.map(
    (figure) =>
      `<li${hidden(figure.name)}><a href="#${figure.name}">${escapeHtml(titleOf(figure, context))}</a></li>`,
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
<nav aria-label="${escapeHtml(words.contents)}"><ul><li><a href="#results">${escapeHtml(words.results)}</a></li>${links.join('')}<li><a href="#claims">${escapeHtml(tableTexts.title[language])}</a></li><li><a href="#runs">${escapeHtml(words.runs)}</a></li></ul></nav>
<main>
${extras?.before ?? ''}<section id="results"><h2>${escapeHtml(words.results)}</h2>
<div id="results-content">${content.results}</div>
<p>${escapeHtml(words.howTo)}</p>
<noscript><p class="remark">${escapeHtml(extras === undefined ? words.noScript : words.noScriptLive)}</p></noscript></section>
${sections.join('\n')}
<section id="claims"><h2>${escapeHtml(tableTexts.title[language])}</h2>
<div id="claims-content">${content.claims}</div></section>
<section id="runs"><h2>${escapeHtml(words.runs)}</h2>
<div id="runs-content">${content.runs}</div></section>
</main>
<script>${libraries.join('\n</script>\n<script>')}</script>
<script>const figures = ${scriptJson(content.figures)};
const words = ${scriptJson(words.menu)};
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
    ...conditionNames.map((name) => [name, all.flatMap((conditions) => conditions[name] ?? [])] as const),
    ['revision', revisions] as const,
  ].flatMap(([name, values]) =>
    values.length === 0
      ? []
      : `<tr><th scope="row">${escapeHtml(textIn(language, `condition.${name}`))}</th><td>${escapeHtml([...new Set(values)].join(' | '))}</td></tr>`,
  );
  return wideTable(pageTexts[language].conditions, `<table>${rows.join('')}</table>`);
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
  const head = titles.map((title) => `<th scope="col">${escapeHtml(textIn(language, title))}</th>`);
  const rows = runs.map(({ name, set, row }) => {
    const title = hasSets ? `${path.basename(set)}/${name}` : name;
    const cells = runColumns.map(([, value]) => `<td class="number">${escapeHtml(value(row, text))}</td>`);
    return `<tr><th scope="row">${escapeHtml(title)}</th>${cells.join('')}</tr>`;
  });
  const note = runs.some(({ row }) => row.tps_recovery_measurable === false)
    ? `<p>${escapeHtml(text('note.not-measurable'))}</p>`
    : '';
  const table = `<table class="runs"><thead><tr>${head.join('')}</tr></thead><tbody>${rows.join('\n')}</tbody></table>`;
  return `${wideTable(pageTexts[language].eachRun, table)}${note}`;
}

function listHtml(title: string, lines: readonly string[]): string {
  const items = lines.map((line) => `<li>${escapeHtml(line)}</li>`);
  return `<h3>${escapeHtml(title)}</h3><ul>${items.join('')}</ul>`;
}
