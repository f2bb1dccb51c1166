/**
 * The table of docs/results.md that says when each of the paper's claims holds: under which of the recipes' conditions it
 * does, and under which it does not. It is made of the blocks as they stand on the page, as the summary is. Pure.
 */
import type { Recipe } from '../../experiments/recipe.ts';
import { claimTexts, tableTexts } from '../claims/claim-texts.ts';
import { markdownTable } from '../render/markdown-table.ts';
import { titleInPaperClaimsLine } from './recipe-block.ts';
import { type ClaimLine, claimTables } from './summary.ts';

interface Block {
  readonly recipe: string;
  readonly lines: readonly string[];
}

/** What one set of runs says of all claims. */
interface Condition {
  readonly words: string;
  /** Empty where nothing is recorded. */
  readonly claims: readonly ClaimLine[];
}

const [begin, end] = ['<!-- holds-when -->', '<!-- /holds-when -->'];

/** The page's words with the table between its two marks; without marks, as they are. */
export function withHoldsWhen(
  head: string,
  blocks: readonly Block[],
  recipes: readonly Pick<Recipe, 'name' | 'paperClaims'>[],
): string {
  const from = head.indexOf(begin);
  const to = head.indexOf(end);
  if (from === -1 || to < from) return head;
  return `${head.slice(0, from + begin.length)}\n\n${holdsWhenTable(conditionsOf(blocks, recipes))}\n${head.slice(to)}`;
}

function conditionsOf(
  blocks: readonly Block[],
  recipes: readonly Pick<Recipe, 'name' | 'paperClaims'>[],
): Condition[] {
  return recipes.flatMap(({ name, paperClaims }): Condition[] => {
    if (paperClaims === undefined) return [];
    const lines = blocks.find(({ recipe }) => recipe === name)?.lines ?? [];
    const found = claimTables(lines).flatMap(({ caption, claims }) => {
      const title = titleInPaperClaimsLine(caption);
      return title === undefined
        ? []
        : [{ words: title === '' ? paperClaims : `${paperClaims} ${title}`, claims }];
    });
    return found.length === 0 ? [{ words: paperClaims, claims: [] }] : found;
  });
}

function holdsWhenTable(conditions: readonly Condition[]): string {
  const rows = Object.values(claimTexts).map(({ claim: { en: claim } }) => {
    const said = conditions.flatMap(({ words, claims }) => {
      const line = claims.find((one) => one.claim === claim);
      return line === undefined ? [] : [{ words, ...line }];
    });
    const where = (verdicts: readonly string[]): string =>
      said
        .filter(({ verdict }) => verdicts.includes(verdict))
        .map(({ words, measured, verdict }) => `${words}${few.has(verdict) ? '\\*' : ''} (${measured})`)
        .join('; ');
    return [claim, where(holding), where(failing)].map((cell) => (cell === '' ? '–' : cell));
  });
  const missing = conditions.filter(({ claims }) => claims.length === 0).map(({ words }) => words);
  return [
    markdownTable([['The paper’s claim', 'Holds when', 'Does not hold when'], ...rows]),
    '\\* fewer than 3 runs of each cell.',
    ...(missing.length === 0 ? [] : [`Not recorded: ${missing.join('; ')}.`]),
    '',
  ].join('\n');
}

const holding: readonly string[] = [tableTexts.holds.en, tableTexts['holds-in-single-runs'].en];
const failing: readonly string[] = [
  tableTexts['does-not-hold'].en,
  tableTexts['does-not-hold-in-single-runs'].en,
];
const few: ReadonlySet<string> = new Set([
  tableTexts['holds-in-single-runs'].en,
  tableTexts['does-not-hold-in-single-runs'].en,
]);
