/**
 * The table of docs/results.md that says of each of the paper's claims under which conditions it holds: a column for each
 * part of a recipe that asks. It is read from the page again, so that a block can be written anew without the other sets. Pure.
 */
import type { Recipe } from '../../experiments/recipe.ts';
import { claimTexts, tableTexts } from '../claims/claim-texts.ts';
import { fewNote, markedVerdicts } from '../claims/claims-table.ts';
import { markdownRows, markdownTable } from '../render/markdown-table.ts';
import { judgedPaperClaims } from './judge.ts';
import type { RecipeSet } from './recipe-set.ts';

/** What one part of a recipe says of all claims. */
export interface PaperColumn {
  /** The conditions of its runs, and how many of the paper's cells they are. */
  readonly title: string;
  /** By the words of the claim. */
  readonly cells: Readonly<Record<string, string>>;
}

/** None where the recipe does not ask for the paper's claims. */
export function paperColumnsOf(recipeSet: RecipeSet): readonly PaperColumn[] {
  const { paperClaims = '' } = recipeSet.recipe;
  return judgedPaperClaims(recipeSet).map(({ title, claims }) => {
    const conditions = title === '' ? paperClaims : `${paperClaims} ${title}`;
    const { measured, wanted } = claims
      .map(({ cells }) => cells)
      .reduce((one, other) => (other.measured > one.measured ? other : one));
    return {
      title: `${conditions} (${measured} of ${wanted} cells)`,
      cells: Object.fromEntries(
        claims.map(({ claim, verdict, measured: text }) => [
          claim,
          verdict === 'missing' ? text || '–' : `${markedVerdicts[verdict]}: ${text}`,
        ]),
      ),
    };
  });
}

/** What of a block is looked at. */
interface Block {
  readonly recipe: string;
  readonly anchor: string;
  readonly paperColumns: readonly PaperColumn[];
}

const [begin, end] = ['<!-- paper-claims -->', '<!-- /paper-claims -->'];
const linkedTitle = /^\[(.*)\]\(#(.*)\)$/;

/** The columns that stand on the page, by the anchor of their block. */
export function paperColumnsIn(head: string): ReadonlyMap<string, readonly PaperColumn[]> {
  const table = head.split(begin)[1]?.split(end)[0] ?? '';
  const [titles = [], ...claims] = markdownRows(table.split('\n'));
  const columns = titles.flatMap((cell, index) => {
    const [, title, anchor] = linkedTitle.exec(cell) ?? [];
    if (title === undefined || anchor === undefined) return [];
    return [
      { title, anchor, cells: Object.fromEntries(claims.map((row) => [row[0] ?? '', row[index] ?? ''])) },
    ];
  });
  return new Map(
    [...Map.groupBy(columns, ({ anchor }) => anchor)].map(([anchor, own]) => [
      anchor,
      own.map(({ title, cells }) => ({ title, cells })),
    ]),
  );
}

/** The page's words with the table between its two marks; without marks, as they are. */
export function withPaperClaims(
  head: string,
  blocks: readonly Block[],
  recipes: readonly Pick<Recipe, 'name' | 'paperClaims'>[],
): string {
  const from = head.indexOf(begin);
  const to = head.indexOf(end);
  if (from === -1 || to < from) return head;
  const columns = blocks.flatMap(({ anchor, paperColumns }) =>
    paperColumns.map((column) => ({ ...column, anchor })),
  );
  const missing = recipes.flatMap(({ name, paperClaims }) => {
    if (paperClaims === undefined) return [];
    const block = blocks.find(({ recipe }) => recipe === name);
    if (block === undefined) return [paperClaims];
    return block.paperColumns.length > 0 ? [] : [`[${paperClaims}](#${block.anchor})`];
  });
  const lines = [
    head.slice(0, from + begin.length),
    '',
    markdownTable([
      [
        tableTexts.claim.en,
        tableTexts.rule.en,
        ...columns.map(({ title, anchor }) => `[${title}](#${anchor})`),
      ],
      ...Object.values(claimTexts).map(({ claim, rule }) => [
        claim.en,
        rule.en,
        ...columns.map(({ cells }) => cells[claim.en] ?? '–'),
      ]),
    ]),
    fewNote,
    ...(missing.length === 0 ? [] : [`Not recorded: ${missing.join('; ')}.`]),
    '',
    '',
  ];
  return lines.join('\n') + head.slice(to);
}
