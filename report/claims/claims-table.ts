/** The table of claims in Markdown and in HTML. Pure. */
import type { Language } from '../figures/text.ts';
import { escapeHtml } from '../render/escape-html.ts';
import { markdownTable } from '../render/markdown-table.ts';
import { wideTable } from '../render/wide-table.ts';
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
