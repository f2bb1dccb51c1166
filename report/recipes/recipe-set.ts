/** The runs of recorded sets that a recipe asks for, and what of it is missing. */
import { CodedError } from '../../foundation/coded-error.ts';
import { runName, configurationOf } from '../../experiments/matrix.ts';
import { matricesOf, type Recipe, type RecipeMatrix } from '../../experiments/recipe.ts';
import type { Mem } from '../../experiments/paper-rows.ts';
import { readSet, type Run, type RunSet } from '../record/read-set.ts';
import { columnOf } from './columns.ts';

interface RecipeSetPart {
  readonly title: string;
  readonly mems: readonly Mem[];
  readonly runs: readonly Run[];
  /** Runs that failed, also those that were made again: they are of no table and no figure, but may refute a claim. */
  readonly failed: readonly Run[];
}

export interface RecipeSet {
  readonly recipe: Recipe;
  /** Its runs only, whatever else is in the sets. */
  readonly set: RunSet;
  /** The same runs, by the matrix that they are of. */
  readonly parts: readonly RecipeSetPart[];
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
  'downtimeLimitMs',
  'verifyRam',
  'guest',
  'warmStart',
  'vms',
  'targetMemory',
  'beforeSwitchPercent',
  'compress',
] as const;

/** The same, where a run says it: older ones do not. */
const laterConditions = ['downtimeLimitMaxMs', 'placement'] as const;

function nameOf({ manifest: { configuration, repeat } }: Run): string {
  const { scenario, paperRowGib, engine } = configuration;
  return runName({ scenario, mem: String(paperRowGib), engine, repeat });
}

/** What a run was made with that a matrix of the recipe has otherwise; undefined where it has no such cell. */
function differenceFrom({ options, runs }: RecipeMatrix, run: Run): string | undefined {
  const cell = runs.find((one) => runName(one) === nameOf(run));
  if (cell === undefined) return undefined;
  const asked = configurationOf(options, cell);
  const { configuration } = run.manifest;
  const said = laterConditions.filter((condition) => configuration[condition] !== undefined);
  const differing = [...conditions, ...said].find(
    (condition) => configuration[condition] !== asked[condition],
  );
  return differing === undefined
    ? ''
    : `its ${differing} is ${String(configuration[differing])}, the recipe's ${String(asked[differing])}`;
}

/**
 * The matrix that a run is of; undefined for one that the recipe does not ask for.
 * @throws CodedError 'report' `different-conditions`: a run was made with other options than the recipe's
 */
function matrixOf(recipe: Recipe, matrices: readonly RecipeMatrix[], run: Run): RecipeMatrix | undefined {
  const differences = matrices.map((matrix) => differenceFrom(matrix, run));
  const own = differences.indexOf('');
  const different = differences.find((difference) => difference !== undefined);
  if (own !== -1 || different === undefined) return matrices[own];
  throw new CodedError(
    'report',
    'different-conditions',
    `${run.name} is no run of the recipe ${recipe.name}: ${different}`,
  );
}

const needsSamples = ({ paperClaims, tables, claims }: Recipe): boolean =>
  paperClaims !== undefined ||
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
  const withoutSamples = !samples && !needsSamples(recipe);
  const all = await readSet(folders, { withoutSamples, failedToo: true, setAsideToo: true });
  const hasFailed = ({ row }: Run): boolean => row.outcome === 'failed';
  const matrices = matricesOf(recipe);
  const ofMatrix = Map.groupBy(all.runs, (run) => matrixOf(recipe, matrices, run));
  const parts = matrices.map((matrix): RecipeSetPart => {
    const own = ofMatrix.get(matrix) ?? [];
    return {
      title: matrix.title,
      mems: matrix.options.mems,
      runs: own.filter((run) => !hasFailed(run)),
      failed: own.filter(hasFailed),
    };
  });
  const runs = all.runs.filter((run) => parts.some((part) => part.runs.includes(run)));
  if (runs.length === 0) {
    const failed = parts.flatMap((part) => part.failed.map(({ name }) => name));
    throw new CodedError(
      'report',
      'not-readable',
      failed.length === 0
        ? `there is no run of the recipe ${recipe.name} in ${folders.join(', ')}`
        : `every run of the recipe ${recipe.name} in ${folders.join(', ')} failed: ${failed.join(', ')}; why is at the end of its events.jsonl`,
    );
  }
  const wanted = matrices.reduce((sum, matrix) => sum + matrix.runs.length, 0);
  // To tables and figures they are missing.
  const planned = all.runs.filter(hasFailed).map(({ set, row }) => ({
    set,
    scenario: row.scenario,
    paperRowGib: row.paper_row_gib,
    engine: row.engine,
  }));
  return { recipe, set: { ...all, runs, planned: [...all.planned, ...planned] }, parts, wanted };
}
