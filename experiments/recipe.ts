/**
 * A recipe: an experiment that the docs make a claim with, as data. `npm run reproduce -- NAME` runs it, judges its claims
 * and writes its block of docs/results.md. Pure.
 */
import type { DatabaseSystem } from '../foundation/database-systems.ts';
import { type MatrixRun, type MatrixOptions, matrixRuns, matrixOptionsSchema } from './matrix.ts';
import type { EngineName } from './engines.ts';
import type { Mem } from './paper-rows.ts';
import type { ScenarioName } from './scenarios.ts';

/** Options of `npm run matrix` that are the same for every cell; what is left out is the profile's. */
interface RecipeConditions {
  /** Where it is run unless `--testbed` says otherwise. */
  readonly testbed?: 'vagrant';
  readonly dbms?: DatabaseSystem;
  readonly guest?: 'aged';
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
  /** Of the listed pages, before the VM moves, in percent; engine `resume`. */
  readonly beforeSwitch?: number;
  /** Of the migration link, by our engines. */
  readonly compress?: 'auto' | 'none' | 'zstd';
  /** VMs that are moved at once. */
  readonly vms?: 2;
  /** MiB in place of the memory row's. */
  readonly vmMemory?: number;
  readonly tableData?: number;
}

/** What one of several matrices has for itself; what is left out is the recipe's. */
interface RecipePart {
  /** It has a set of its own, whose name ends with this: cells of the same name cannot share one. */
  readonly name?: string;
  /** Names its cells where load and memory row do not tell them from those of other parts. */
  readonly title?: string;
  readonly mems?: readonly Mem[];
  readonly engines?: readonly EngineName[];
  readonly repeat?: number;
  readonly conditions?: Partial<RecipeConditions>;
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

/** Of the total time: a method is so many times as fast as another, at least. */
export const faster = (says: string, engine: EngineName, than: EngineName, times = 1): RecipeClaim => ({
  says,
  measure: { kind: 'ratio', column: 'total', of: than, to: engine },
  holdsIf: { atLeast: times },
});

/** Said of every experiment with a load. */
export const noCommitLost: RecipeClaim = {
  says: 'No commit that the server acknowledged is lost.',
  measure: { kind: 'each-run', column: 'commits-lost' },
  holdsIf: { is: 0 },
};

/** Said of those that compare memory. */
export const noPageDiffers: RecipeClaim = {
  says: 'No page differs.',
  measure: { kind: 'each-run', column: 'pages-differing' },
  holdsIf: { is: 0 },
};
export const pagesFromStorage: RecipeClaim = {
  says: 'Pages came from storage.',
  measure: { kind: 'each-run', column: 'pages-restored' },
  holdsIf: { atLeast: 1 },
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
  /** Matrices that differ, in place of one. */
  readonly parts?: readonly RecipePart[];
  readonly tables: readonly RecipeTable[];
  readonly claims: readonly RecipeClaim[];
  /** Also hold the paper's claims against it: the conditions of its runs, before the titles of its parts. */
  readonly paperClaims?: string;
  /** Also simulate each run, and say how far that is from what was measured. */
  readonly predicted?: true;
  /** Figures of the report that its block shows. */
  readonly figures: readonly string[];
}

/** A matrix of a recipe: what is run, one after the other, into one set. */
export interface RecipeMatrix {
  /** Ends the name of its set; empty where the set is the recipe's. */
  readonly name: string;
  /** What it differs from the others in; empty where a table's row and load say it. */
  readonly title: string;
  readonly options: MatrixOptions;
  /** In order. */
  readonly runs: readonly MatrixRun[];
  /** The same runs by `npm run matrix`. */
  readonly command: string;
}

/** @throws ZodError: the recipe is wrong */
export function matricesOf(recipe: Recipe): readonly RecipeMatrix[] {
  const { scenarios, conditions, parts = [{}] } = recipe;
  return parts.map(({ name = '', title = '', ...part }) => {
    const { mems = recipe.mems, engines = recipe.engines, repeat = recipe.repeat } = part;
    const given = { scenarios, mems, engines, repeat, ...conditions, ...part.conditions };
    const options = matrixOptionsSchema.parse(given);
    return { name, title, options, runs: matrixRuns(options), command: commandOf(given) };
  });
}

function commandOf(given: Readonly<Record<string, unknown>>): string {
  const flags = Object.entries(given).map(([key, value]) => {
    const flag = `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    return value === true ? flag : `${flag} ${[value].flat().join(' ')}`;
  });
  return `npm run matrix -- ${flags.join(' ')}`;
}
