/** A recipe's block of docs/results.md with all of its sections: the report knows no simulation, so that one is added here. */
import type { Recipe } from '../experiments/recipe.ts';
import { type MadeBlock, makeBlock } from '../report/recipes/write-results.ts';
import { gainFigure } from '../report/figures/gain.ts';
import { simulatedGains } from './gain-curve.ts';
import { predictionSection } from './prediction-section.ts';

/** As `makeBlock`. */
export async function makeRecipeBlock(
  root: string,
  recipe: Recipe,
  sets: readonly string[],
  samples: boolean,
): Promise<MadeBlock> {
  const made = await makeBlock(
    root,
    recipe,
    sets,
    samples,
    recipe.predicted === true ? predictionSection : undefined,
  );
  const { recipeSet } = made;
  // Figures are drawn of runs that were read with their samples.
  if (recipeSet === undefined || !samples || !recipe.figures.includes(gainFigure)) return made;
  const set = { ...recipeSet.set, simulatedGains: await simulatedGains(recipeSet.set) };
  return { ...made, recipeSet: { ...recipeSet, set } };
}
