/** The table of claims in Markdown and in HTML. Pure. */
import type { Language } from '../figures/text.ts';
import { escapeHtml, wideTable } from '../render/html.ts';
import { markdownTable } from '../render/markdown-table.ts';
import { tableTexts } from './claim-texts.ts';
import type { JudgedClaim } from './claims.ts';

const columns = ['claim', 'rule', 'measured', 'cells', 'verdict'] as const;

function cellsOf({ claim, rule, measured, cells, verdict }: JudgedClaim, language: Language): string[] {
  return [
    claim,
    rule,
    measured === '' ? '–' : measured,
    `${cells.measured} / ${cells.wanted}`,
    tableTexts[verdict][language],
  ];
}

export function claimsMarkdown(claims: readonly JudgedClaim[], language: Language): string {
  return markdownTable([
    columns.map((column) => tableTexts[column][language]),
    ...claims.map((claim) => cellsOf(claim, language)),
  ]);
}

/** Verdicts on a page that says below its tables what the mark means. */
export const markedVerdicts: Readonly<Record<JudgedClaim['verdict'], string>> = {
  holds: 'holds',
  'does-not-hold': 'does not hold',
  'holds-in-single-runs': 'holds\\*',
  'does-not-hold-in-single-runs': 'does not hold\\*',
  missing: 'missing',
};

/** What the mark of `markedVerdicts` means. */
export const fewNote = '\\* fewer than 3 runs per cell.';

/** A recipe's own claims on a page that says once how they are judged. */
export function recipeClaimsMarkdown(claims: readonly JudgedClaim[]): string {
  const rows = claims.map(({ claim, rule, measured, cells, verdict }) => {
    const part = cells.measured === cells.wanted ? '' : `, in ${cells.measured} of ${cells.wanted} cells`;
    return [claim, rule, measured === '' ? '–' : `${measured}${part}`, markedVerdicts[verdict]];
  });
  const table = markdownTable([
    (['claim', 'rule', 'measured', 'verdict'] as const).map((column) => tableTexts[column].en),
    ...rows,
  ]);
  return rows.some(([, , , verdict]) => verdict?.endsWith('*')) ? `${table}\n${fewNote}\n` : table;
}

/** Claims that the set has no cells for are named, and folded away. */
export function claimsHtml(claims: readonly JudgedClaim[], language: Language): string {
  const [missing, judged] = [true, false].map((isMissing) =>
    claims.filter(({ verdict }) => (verdict === 'missing') === isMissing),
  );
  const head = columns.map((column) => `<th scope="col">${escapeHtml(tableTexts[column][language])}</th>`);
  const rows = (judged ?? []).map((claim) => {
    const cells = cellsOf(claim, language).map((cell) => `<td>${escapeHtml(cell)}</td>`);
    return `<tr class="${claim.verdict}">${cells.join('')}</tr>`;
  });
  const table = `<table class="claims"><thead><tr>${head.join('')}</tr></thead><tbody>${rows.join('\n')}</tbody></table>`;
  const items = (missing ?? []).map(
    ({ claim, measured }) => `<li>${escapeHtml(measured === '' ? claim : `${claim} (${measured})`)}</li>`,
  );
  const summary = tableTexts.unjudged[language].replace('{}', String(items.length));
  return (
    (rows.length === 0 ? '' : wideTable(tableTexts.title[language], table)) +
    (items.length === 0
      ? ''
      : `<details><summary>${escapeHtml(summary)}</summary><ul>${items.join('')}</ul></details>`)
  );
}
