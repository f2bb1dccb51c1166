/** What `npm run reproduce -- --list` says of each recipe. */
import path from 'node:path';
import { configurationOf } from '../experiments/matrix.ts';
import { matricesOf, type Recipe } from '../experiments/recipe.ts';
import { expectedSeconds } from '../harness/run/plan.ts';
import { readStored } from '../record/stored-file.ts';
import { parseRunsCsv } from '../record/csv.ts';
import type { ResultsPage } from '../report/recipes/results-page.ts';

export interface ListedRecipe {
  readonly name: string;
  readonly title: string;
  readonly question: string;
  readonly runs: number;
  readonly expectedMinutes: { readonly tcg: number; readonly kvm: number };
  /** What its block of docs/results.md is made from. */
  readonly recorded: { readonly sets: readonly string[]; readonly lastRunAt: string } | undefined;
}

/** @param root of the checkout */
export async function listOf(
  root: string,
  recipes: readonly Recipe[],
  { blocks }: ResultsPage,
): Promise<ListedRecipe[]> {
  return Promise.all(
    recipes.map(async (recipe) => {
      const { name, title, question } = recipe;
      const runs = matricesOf(recipe).flatMap(({ options, runs: ofMatrix }) =>
        ofMatrix.map((cell) => configurationOf(options, cell)),
      );
      const minutes = (accelerator: 'tcg' | 'kvm'): number =>
        runs
          .map((configuration) => expectedSeconds(configuration, accelerator))
          .reduce((sum, seconds) => sum + seconds, 0) / 60;
      const sets = blocks.find((block) => block.recipe === name)?.sets ?? [];
      return {
        name,
        title,
        question,
        runs: runs.length,
        expectedMinutes: { tcg: Math.ceil(minutes('tcg')), kvm: Math.ceil(minutes('kvm')) },
        recorded: sets.length === 0 ? undefined : { sets, lastRunAt: await lastRunAt(root, sets) },
      };
    }),
  );
}

/** ISO 8601; empty where the sets are not in this checkout. */
async function lastRunAt(root: string, sets: readonly string[]): Promise<string> {
  const tables = await Promise.all(sets.map((set) => readStored(path.join(root, set, 'runs.csv'))));
  const starts = tables.flatMap((table) =>
    table === undefined ? [] : parseRunsCsv(table).map((row) => row.started_at ?? ''),
  );
  return starts.sort().at(-1) ?? '';
}

export function listText(listed: readonly ListedRecipe[]): string {
  return listed
    .map(({ name, question, runs, expectedMinutes, recorded }) => {
      const last =
        recorded === undefined
          ? 'not recorded'
          : `last run ${recorded.lastRunAt === '' ? 'not here' : recorded.lastRunAt.slice(0, 10)} in ${recorded.sets.join(', ')}`;
      return [
        name,
        `  ${question}`,
        `  ${runs} runs, about ${expectedMinutes.tcg} min under TCG, ${expectedMinutes.kvm} with KVM; ${last}`,
      ].join('\n');
    })
    .join('\n');
}
