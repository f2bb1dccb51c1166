import { readdirSync } from 'node:fs';
import test from 'ava';
import { matrixRuns, matrixOptionsSchema, runName } from '../matrix.ts';
import { matricesOf } from '../recipe.ts';
import { recipes } from './all.ts';

test('every file is a recipe of its name, and every recipe has a file', (t) => {
  const files = readdirSync(import.meta.dirname)
    .filter((file) => !/^(all|recipes\.test)\.ts$/.test(file))
    .map((file) => file.replace('.ts', ''));
  t.deepEqual(recipes.map(({ name }) => name).sort(), files.sort());
});

for (const recipe of recipes) {
  test(`${recipe.name}: its cells are those of the matrices that it names`, (t) => {
    const matrices = matricesOf(recipe);
    for (const { command, options, runs } of matrices) {
      const { mems, engines = recipe.engines } = options;
      t.is(runs.length, recipe.scenarios.length * mems.length * engines.length * options.repeat);
      t.true(engines.every((engine) => recipe.engines.includes(engine)));
      // As `npm run matrix` would take them.
      const given = [...command.matchAll(/--([a-z-]+)((?: (?!--)\S+)*)/g)].map(
        ([, flag = '', values = '']) => {
          const key = flag.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
          const words = values.trim().split(' ');
          const isList = ['scenarios', 'mems', 'engines'].includes(key);
          return [key, values === '' ? true : isList ? words : words[0]];
        },
      );
      const parsed = matrixOptionsSchema.parse(Object.fromEntries(given));
      t.deepEqual(parsed, options);
      t.deepEqual(matrixRuns(parsed), runs);
    }
  });

  test(`${recipe.name}: no set has two runs of one name`, (t) => {
    const ofSet = Map.groupBy(matricesOf(recipe), ({ name }) => name);
    for (const [, matrices] of ofSet) {
      const names = matrices.flatMap(({ runs }) => runs.map(runName));
      t.is(new Set(names).size, names.length);
    }
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
