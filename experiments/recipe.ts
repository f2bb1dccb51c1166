/**
 * A recipe: an experiment that the docs make a claim with, as data. `npm run reproduce -- NAME` runs it, judges its claims
 * and writes its block of docs/results.md. Pure.
 */
import { type MatrixRun, type MatrixOptions, matrixRuns, matrixOptionsSchema } from './matrix.ts';
import type { EngineName } from './engines.ts';
import type { Mem } from './paper-rows.ts';
import type { ScenarioName } from './scenarios.ts';

/** Options of `npm run matrix` that are the same for every cell; what is left out is the profile's. */
interface RecipeConditions {
  readonly dbms?: 'mariadb' | 'mysql';
  readonly threads?: number;
  /** Transactions per second; 0 is full speed. */
  readonly rate?: number;
  /** As tc writes it: "24mbit". */
  readonly linkRate?: string;
  readonly migrationRate?: string;
  readonly storageRate?: string;
  readonly serviceRate?: string;
  /** Seconds of load before the migration and after it. */
  readonly before: number;
  readonly after: number;
  /** Seconds after which a migration is cancelled. */
  readonly maxTime?: number;
  readonly verifyRam?: true;
  /** VMs that are moved at once. */
  readonly vms?: 2;
  /** MiB in place of the memory row's. */
  readonly vmMemory?: number;
  readonly tableData?: number;
}

/** A line a cell. The names of columns: report/recipes/columns.ts. */
export interface RecipeTable {
  readonly caption: string;
  readonly columns: readonly string[];
}

/**
 * `ratio` and `difference` set the runs of two engines beside each other that were made one after the other: those of one
 * load, memory row and repeat.
 */
export type Measure =
  | { readonly kind: 'each-run'; readonly column: string; readonly engine?: EngineName }
  | {
      readonly kind: 'ratio';
      readonly column: string;
      readonly of: EngineName;
      readonly to: EngineName;
    }
  | {
      readonly kind: 'difference';
      readonly column: string;
      readonly of: EngineName;
      readonly from: EngineName;
    };

/** `each-run` is held against every run, the other two against the median of each cell. */
export interface RecipeClaim {
  readonly says: string;
  readonly measure: Measure;
  readonly holdsIf: { readonly atLeast: number } | { readonly atMost: number } | { readonly is: number };
  /** Loads that it is said of; all, where it is left out. */
  readonly scenarios?: readonly ScenarioName[];
}

/** For recipes that ask what a link of another rate changes. */
export const linkTables: Recipe['tables'] = [
  {
    caption: 'Time and bytes',
    columns: [
      'converged',
      'total',
      'downtime',
      'passes',
      'migration-link',
      'storage-link',
      'busiest-link',
      'efficiency',
    ],
  },
  { caption: 'Load and CPU', columns: ['tps-before', 'tps-during', 'cpu-busy', 'all-cpu', 'commits-lost'] },
];

/** Said of every experiment with a load. */
export const noCommitLost: RecipeClaim = {
  says: 'No commit that the server acknowledged is lost.',
  measure: { kind: 'each-run', column: 'commits-lost' },
  holdsIf: { is: 0 },
};

export interface Recipe {
  /** As it is given to `npm run reproduce`; also the name of its file. */
  readonly name: string;
  readonly title: string;
  readonly question: string;
  readonly scenarios: readonly ScenarioName[];
  readonly mems: readonly Mem[];
  readonly engines: readonly EngineName[];
  /** Runs of each combination. */
  readonly repeat: number;
  readonly conditions: RecipeConditions;
  readonly tables: readonly RecipeTable[];
  readonly claims: readonly RecipeClaim[];
  /** Also hold the paper's claims against it. */
  readonly paperClaims?: true;
  /** Also simulate each run, and say how far that is from what was measured. */
  readonly predicted?: true;
  /** Figures of the report that its block shows. */
  readonly figures: readonly string[];
}

/** Options of the matrix that the recipe is. @throws ZodError: the recipe is wrong */
export function matrixOptionsOf({ scenarios, mems, engines, repeat, conditions }: Recipe): MatrixOptions {
  return matrixOptionsSchema.parse({ ...conditions, scenarios, mems, engines, repeat });
}

/** What is run, in order. */
export function runsOfRecipe(recipe: Recipe): readonly MatrixRun[] {
  return matrixRuns(matrixOptionsOf(recipe));
}

/** The same runs by `npm run matrix`. */
export function matrixCommandOf({ scenarios, mems, engines, repeat, conditions }: Recipe): string {
  const flags = Object.entries({ scenarios, mems, engines, repeat, ...conditions }).map(([key, value]) => {
    const name = `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    return value === true ? name : `${name} ${[value].flat().join(' ')}`;
  });
  return `npm run matrix -- ${flags.join(' ')}`;
}
