/** The runs of recorded sets that a recipe asks for, and what of it is missing. */
import { CodedError } from '../../foundation/coded-error.ts';
import { type MatrixRun, runName, configurationOf } from '../../experiments/matrix.ts';
import { runsOfRecipe, matrixOptionsOf, type Recipe } from '../../experiments/recipe.ts';
import { readSet, type Run, type RunSet } from '../record/read-set.ts';
import { columnOf } from './columns.ts';

export interface RecipeSet {
  readonly recipe: Recipe;
  /** Its runs only, whatever else is in the sets. */
  readonly set: RunSet;
  /** How many runs the recipe has. */
  readonly wanted: number;
}

/** What must be as the recipe says; where the hosts are is left open. */
const conditions = [
  'dbms',
  'linkBitsPerSecond',
  'storageLinkBitsPerSecond',
  'serviceLinkBitsPerSecond',
  'vmMemoryBytes',
  'tableDataBytes',
  'threads',
  'rateTps',
  'beforeSeconds',
  'afterSeconds',
  'maxTimeSeconds',
  'verifyRam',
  'warmStart',
  'vms',
  'targetMemory',
] as const;

function nameOf({ manifest: { configuration, repeat } }: Run): string {
  const { scenario, paperRowGib, engine } = configuration;
  return runName({ scenario, mem: String(paperRowGib), engine, repeat });
}

/** @throws CodedError 'report' `different-conditions`: a run was made with other options than the recipe's */
function refuseOtherConditions(recipe: Recipe, cell: MatrixRun, { name, manifest }: Run): void {
  const asked = configurationOf(matrixOptionsOf(recipe), cell);
  for (const condition of conditions) {
    const found = manifest.configuration[condition];
    if (found === asked[condition]) continue;
    throw new CodedError(
      'report',
      'different-conditions',
      `${name} is no run of the recipe ${recipe.name}: its ${condition} is ${String(found)}, the recipe's ${String(asked[condition])}`,
    );
  }
}

const needsSamples = ({ paperClaims, tables, claims }: Recipe): boolean =>
  paperClaims === true ||
  [...tables.flatMap(({ columns }) => columns), ...claims.map(({ measure }) => measure.column)].some(
    (name) => columnOf(name).fromSamples === true,
  );

/**
 * @param samples whether figures over time are to be drawn; otherwise they are read where a table or a claim needs them
 * @throws CodedError 'report' `not-readable`, `different-conditions`
 */
export async function readRecipeSet(
  recipe: Recipe,
  folders: readonly string[],
  { samples = false }: { readonly samples?: boolean } = {},
): Promise<RecipeSet> {
  const all = await readSet(folders, { withoutSamples: !samples && !needsSamples(recipe) });
  const cells = new Map(runsOfRecipe(recipe).map((cell) => [runName(cell), cell]));
  const runs = all.runs.filter((run) => {
    const cell = cells.get(nameOf(run));
    if (cell !== undefined) refuseOtherConditions(recipe, cell, run);
    return cell !== undefined;
  });
  if (runs.length === 0)
    throw new CodedError(
      'report',
      'not-readable',
      `there is no run of the recipe ${recipe.name} in ${folders.join(', ')}`,
    );
  return { recipe, set: { ...all, runs }, wanted: cells.size };
}
