/** A recipe's block of docs/results.md with all of its sections: the report knows no simulation, so that one is added here. */
import type { Recipe } from '../experiments/recipe.ts';
import { type MadeBlock, makeBlock } from '../report/recipes/write-results.ts';
import { predictionSection } from './prediction-section.ts';

/** As `makeBlock`. */
export async function makeRecipeBlock(
  root: string,
  recipe: Recipe,
  sets: readonly string[],
  samples: boolean,
): Promise<MadeBlock> {
  return await makeBlock(
    root,
    recipe,
    sets,
    samples,
    recipe.predicted === true ? predictionSection : undefined,
  );
}
