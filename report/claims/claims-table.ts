/** The table of claims in Markdown and in HTML. Pure. */
import type { Language } from '../figures/text.ts';
import { escapeHtml } from '../render/escape-html.ts';
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

export function claimsHtml(claims: readonly JudgedClaim[], language: Language): string {
  const head = columns.map((column) => `<th>${escapeHtml(tableTexts[column][language])}</th>`).join('');
  const rows = claims.map((claim) => {
    const cells = cellsOf(claim, language).map((cell) => `<td>${escapeHtml(cell)}</td>`);
    return `<tr class="${claim.verdict}">${cells.join('')}</tr>`;
  });
  return `<table class="claims"><thead><tr>${head}</tr></thead><tbody>${rows.join('\n')}</tbody></table>`;
}
