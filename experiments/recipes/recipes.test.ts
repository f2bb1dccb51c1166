import { readdirSync } from 'node:fs';
import test from 'ava';
import { matrixRuns, matrixOptionsSchema } from '../matrix.ts';
import { runsOfRecipe, matrixCommandOf, matrixOptionsOf } from '../recipe.ts';
import { recipes } from './all.ts';

test('every file is a recipe of its name, and every recipe has a file', (t) => {
  const files = readdirSync(import.meta.dirname)
    .filter((file) => !/^(all|recipes\.test)\.ts$/.test(file))
    .map((file) => file.replace('.ts', ''));
  t.deepEqual(recipes.map(({ name }) => name).sort(), files.sort());
});

for (const recipe of recipes) {
  test(`${recipe.name}: its cells are those of the matrix that it names`, (t) => {
    const { engines, scenarios } = recipe;
    const cells = runsOfRecipe(recipe);
    t.is(cells.length, scenarios.length * recipe.mems.length * engines.length * recipe.repeat);
    // As `npm run matrix` would take them.
    const given = [...matrixCommandOf(recipe).matchAll(/--([a-z-]+)((?: (?!--)\S+)*)/g)].map(
      ([, flag = '', values = '']) => {
        const key = flag.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
        const words = values.trim().split(' ');
        const isList = ['scenarios', 'mems', 'engines'].includes(key);
        return [key, values === '' ? true : isList ? words : words[0]];
      },
    );
    const options = matrixOptionsSchema.parse(Object.fromEntries(given));
    t.deepEqual(options, matrixOptionsOf(recipe));
    t.deepEqual(matrixRuns(options), cells);
  });

  test(`${recipe.name}: its claims are about engines and loads that it runs`, (t) => {
    const { engines, scenarios } = recipe;
    for (const { says, measure, scenarios: loads = [] } of recipe.claims) {
      const named =
        measure.kind === 'each-run'
          ? [measure.engine ?? engines[0]]
          : [measure.of, measure.kind === 'ratio' ? measure.to : measure.from];
      t.true(
        named.every((engine) => engines.some((own) => own === engine)),
        says,
      );
      t.true(
        loads.every((load) => scenarios.includes(load)),
        says,
      );
    }
    t.true(recipe.claims.length > 0);
  });
}
