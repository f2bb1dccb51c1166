/** How far the simulation of each run is from what was measured: a section of a recipe's block. */
import path from 'node:path';
import { median } from 'simple-statistics';
import { readMeasuredRun } from '../engine/simulation/measured-run.ts';
import { simulate } from '../engine/simulation/simulate.ts';
import { isCoded } from '../foundation/coded-error.ts';
import type { RecipeSet } from '../report/recipes/recipe-set.ts';
import { markdownTable } from '../report/render/markdown-table.ts';

/** Runs of methods that are not simulated, and those that did not converge, are left out. @returns lines */
export async function predictionSection({ recipe, set }: RecipeSet): Promise<readonly string[]> {
  const errors = new Map<string, number[]>();
  for (const { set: folder, name } of set.runs) {
    const run = await readMeasuredRun(path.join(folder, name)).catch((error: unknown) => {
      if (isCoded(error, 'prediction')) return undefined;
      throw error;
    });
    if (run === undefined) continue;
    const percent = 100 * (simulate(run.engine, run.setup).totalTimeMs / run.totalTimeMs - 1);
    errors.set(run.engine, [...(errors.get(run.engine) ?? []), percent]);
  }
  const rows = recipe.engines.flatMap((engine) => {
    const ofEngine = errors.get(engine) ?? [];
    if (ofEngine.length === 0) return [];
    const [low, middle, high] = [Math.min(...ofEngine), median(ofEngine), Math.max(...ofEngine)];
    return [[`\`${engine}\``, String(ofEngine.length), signed(middle), `${signed(low)} to ${signed(high)}`]];
  });
  return [
    'Predicted over measured total time, less 1 ([prediction](predict.md)):',
    '',
    markdownTable([['method', 'runs', 'median %', 'min to max %'], ...rows]),
  ];
}

function signed(percent: number): string {
  const rounded = Math.round(percent);
  return rounded > 0 ? `+${rounded}` : String(rounded === 0 ? 0 : rounded);
}
