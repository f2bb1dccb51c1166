/** Reads and writes docs/results.md and its pictures. */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Recipe } from '../../experiments/recipe.ts';
import { recipes } from '../../experiments/recipes/all.ts';
import { figures } from '../figures/all.ts';
import { drawnFigure, withTitleBlock } from '../figures/drawn-figure.ts';
import { contextOf } from '../figures/figure.ts';
import { pngOf, svgOf } from '../render/draw.ts';
import { paperColumnsOf } from './paper-claims-table.ts';
import { blockWithoutRuns, picturesOf, recipeBlock } from './recipe-block.ts';
import { readRecipeSet, type RecipeSet } from './recipe-set.ts';
import {
  parseResultsPage,
  resultsPageText,
  withBlocks,
  type Block,
  type ResultsPage,
} from './results-page.ts';

const pageOf = (root: string): string => path.join(root, 'docs', 'results.md');

/** @throws CodedError 'report' `no-block` */
export async function readResultsPage(root: string): Promise<ResultsPage> {
  return parseResultsPage(await readFile(pageOf(root), 'utf8'));
}

/** A block that was made, and the runs that it was made from; undefined where no set is recorded. */
export interface MadeBlock {
  readonly block: Block;
  readonly recipeSet: RecipeSet | undefined;
}

/**
 * @param root of the checkout
 * @param sets from there; empty: none is recorded
 * @param samples whether figures are to be drawn of its runs
 * @param section lines of one more section, of what the report does not know
 * @throws CodedError 'report' `not-readable`, `different-conditions`
 */
export async function makeBlock(
  root: string,
  recipe: Recipe,
  sets: readonly string[],
  samples: boolean,
  section?: (recipeSet: RecipeSet) => Promise<readonly string[]>,
): Promise<MadeBlock> {
  if (sets.length === 0)
    return {
      block: { recipe: recipe.name, sets, lines: blockWithoutRuns(recipe), paperColumns: [] },
      recipeSet: undefined,
    };
  const folders = sets.map((set) => path.join(root, set));
  const recipeSet = await readRecipeSet(recipe, folders, { samples });
  const lines = recipeBlock(recipeSet, sets, await section?.(recipeSet));
  return { block: { recipe: recipe.name, sets, lines, paperColumns: paperColumnsOf(recipeSet) }, recipeSet };
}

/** Puts the blocks into the page, whole or not at all, and draws their pictures. @throws CodedError 'report' */
export async function writeBlocks(root: string, made: readonly MadeBlock[]): Promise<void> {
  for (const { recipeSet } of made) if (recipeSet !== undefined) await drawPictures(root, recipeSet);
  const page = withBlocks(
    await readResultsPage(root),
    made.map(({ block }) => block),
  );
  await writeFile(`${pageOf(root)}.new`, resultsPageText(page, recipes));
  await rename(`${pageOf(root)}.new`, pageOf(root));
}

async function drawPictures(root: string, { recipe, set }: RecipeSet): Promise<void> {
  const folder = path.join(root, 'docs', picturesOf(recipe));
  await rm(folder, { recursive: true, force: true });
  if (recipe.figures.length === 0) return;
  await mkdir(folder, { recursive: true });
  const context = contextOf(set, 'en', false);
  for (const figure of figures.filter(({ name }) => recipe.figures.includes(name))) {
    const drawn = drawnFigure(figure, context);
    if (drawn === undefined) continue;
    const svg = await svgOf(figure.name, withTitleBlock(drawn));
    await writeFile(path.join(folder, `${figure.name}.png`), await pngOf(svg));
  }
}
