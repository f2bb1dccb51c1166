/** docs/results.md: words, then a block for each recipe between two marks, the first of which names its sets. Pure. */
import { CodedError } from '../../foundation/coded-error.ts';
import type { Recipe } from '../../experiments/recipe.ts';
import { type PaperColumn, paperColumnsIn, withPaperClaims } from './paper-claims-table.ts';
import { withSummary } from './summary.ts';

/** A block as it stands on the page. */
export interface Block {
  readonly recipe: string;
  /** Folders of the sets that it is made from, from the root of the checkout. Empty: none is recorded. */
  readonly sets: readonly string[];
  /** Between the marks. */
  readonly lines: readonly string[];
  /** Its columns in the table of the paper's claims, which stands above the blocks. */
  readonly paperColumns: readonly PaperColumn[];
}

export interface ResultsPage {
  /** What stands before the first block. */
  readonly head: string;
  readonly blocks: readonly Block[];
}

/** As GitHub makes anchors of headings. */
function anchorOf({ lines, recipe }: Pick<Block, 'lines' | 'recipe'>): string {
  return titleOf({ lines, recipe })
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
}

const titleOf = ({ lines, recipe }: Pick<Block, 'lines' | 'recipe'>): string =>
  lines.find((line) => line.startsWith('## '))?.slice(3) ?? recipe;

const beginOf = ({ recipe, sets }: Block): string =>
  sets.length === 0 ? `<!-- recipe ${recipe} -->` : `<!-- recipe ${recipe}: ${sets.join(' ')} -->`;
const end = '<!-- /recipe -->';
const beginning = /^<!-- recipe ([\w-]+)(?:: (.*))? -->$/;

/** @throws CodedError 'report' `no-block`: a block does not end, or something stands between blocks */
export function parseResultsPage(text: string): ResultsPage {
  const head: string[] = [];
  const blocks: Omit<Block, 'paperColumns'>[] = [];
  let open: { recipe: string; sets: string[]; lines: string[] } | undefined;
  for (const line of text.split('\n')) {
    const [, recipe, sets = ''] = beginning.exec(line) ?? [];
    if (open !== undefined) {
      if (recipe !== undefined)
        throw new CodedError('report', 'no-block', `docs/results.md: the block of ${open.recipe} has no end`);
      if (line === end) {
        blocks.push({ ...open, lines: open.lines.slice(1, -1) });
        open = undefined;
      } else open.lines.push(line);
    } else if (recipe !== undefined)
      open = { recipe, sets: sets.split(' ').filter((set) => set !== ''), lines: [] };
    else if (blocks.length === 0) head.push(line);
    else if (line.trim() !== '')
      throw new CodedError(
        'report',
        'no-block',
        `docs/results.md: "${line}" stands between blocks, where it would be lost`,
      );
  }
  if (open !== undefined)
    throw new CodedError('report', 'no-block', `docs/results.md: the block of ${open.recipe} has no end`);
  const words = head.join('\n').trimEnd();
  const columns = paperColumnsIn(words);
  return {
    head: words,
    blocks: blocks.map((block) => ({ ...block, paperColumns: columns.get(anchorOf(block)) ?? [] })),
  };
}

/** Blocks in the order of the recipes, and what they show in brief; those of recipes that are no more are dropped. */
export function resultsPageText(
  { head, blocks }: ResultsPage,
  recipes: readonly Pick<Recipe, 'name' | 'paperClaims'>[],
): string {
  const inOrder = recipes.flatMap(({ name }) => blocks.find(({ recipe }) => recipe === name) ?? []);
  const texts = inOrder.map((block) => [beginOf(block), '', ...trimmed(block.lines), '', end].join('\n'));
  const named = inOrder.map((block) => ({ ...block, title: titleOf(block), anchor: anchorOf(block) }));
  const opening = withPaperClaims(withSummary(head, named), named, recipes);
  return `${[opening, ...texts].join('\n\n')}\n`;
}

/** Without empty lines at the end. */
function trimmed(lines: readonly string[]): readonly string[] {
  return lines.join('\n').trimEnd().split('\n');
}

/** The page with these blocks in place of those of the same recipes, or beside the others. */
export function withBlocks({ head, blocks }: ResultsPage, made: readonly Block[]): ResultsPage {
  const others = blocks.filter((block) => !made.some(({ recipe }) => recipe === block.recipe));
  // Tables are one line each until the page is written: its summary reads them as lines of text.
  const read = made.map((block) => ({ ...block, lines: block.lines.join('\n').split('\n') }));
  return { head, blocks: [...others, ...read] };
}
