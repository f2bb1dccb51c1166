/** Holds docs/results.md against the recorded sets. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { recipes } from '../experiments/recipes/all.ts';
import { picturesOf } from '../report/recipes/recipe-block.ts';
import { readResultsPage } from '../report/recipes/write-results.ts';
import { makeRecipeBlock } from './make-recipe-block.ts';

const root = path.join(import.meta.dirname, '..');

for (const recipe of recipes) {
  test(`docs/results.md says of ${recipe.name} what the recorded sets show`, async (t) => {
    const block = (await readResultsPage(root)).blocks.find(({ recipe: name }) => name === recipe.name);
    const sets = block?.sets ?? [];
    const made = await makeRecipeBlock(root, recipe, sets, false);
    t.is(
      made.block.lines.join('\n').trimEnd(),
      block?.lines.join('\n').trimEnd() ?? '',
      `npm run reproduce -- ${recipe.name} --report-only makes it again`,
    );
    t.deepEqual(made.block.paperColumns, block?.paperColumns);
    if (sets.length === 0) return;
    t.true(
      sets.every((set) => set.startsWith('results/reference-')),
      'only these are committed',
    );
    for (const name of recipe.figures)
      t.true(existsSync(path.join(root, 'docs', picturesOf(recipe), `${name}.png`)), name);
  });
}
