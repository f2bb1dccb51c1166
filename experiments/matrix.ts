/** A matrix of runs: every combination of scenario, memory row and engine, repeated, in an order that is fair to all engines. */
import { z } from 'zod';
import { type Configuration, optionsSchema, resolveConfiguration } from './configuration.ts';
import { type EngineName, defaultMatrixEngines, engineNames } from './engines.ts';
import type { ProfileName } from './profiles.ts';
import { type Mem, memValues } from './paper-rows.ts';
import { paperScenarioNames, type ScenarioName, scenarioNames } from './scenarios.ts';
import { type Shard, pairOption, shardBlocks, shardOption } from './shard.ts';

const listOf = <const Names extends readonly [string, ...string[]]>(names: Names) =>
  z
    .array(z.enum(names))
    .min(1)
    .refine((given) => new Set(given).size === given.length, 'a value is given twice');

export const matrixOptionsSchema = optionsSchema
  .omit({ scenario: true, mem: true, engine: true, repeat: true, keep: true, out: true })
  .extend({
    scenarios: listOf(scenarioNames)
      .default([...paperScenarioNames])
      .describe(`loads: ${scenarioNames.join(', ')} (default the paper’s)`),
    mems: listOf(memValues)
      .default([...memValues])
      .describe("the paper's memory rows in GiB"),
    engines: listOf(engineNames)
      .optional()
      .describe('methods (default precopy restore balance; with --profile paper precopy restore)'),
    repeat: optionsSchema.shape.repeat.describe('runs of each combination'),
    out: z.string().min(1).optional().describe('folder of the set (default results/matrix-<time>)'),
    resume: z.boolean().default(false).describe('skip what is already done in --out'),
    shard: shardOption
      .optional()
      .describe('run only this part, such as 2/5; methods of one load, row and repeat stay together'),
    pair: pairOption.optional().describe('name of the hosts that run it; recorded in runs.csv'),
  });

export type MatrixOptions = z.infer<typeof matrixOptionsSchema>;

/** A run of a matrix: its cell, and which repeat of it. */
export interface MatrixRun {
  readonly scenario: ScenarioName;
  readonly mem: Mem;
  readonly engine: EngineName;
  /** 1 for the first. */
  readonly repeat: number;
}

/** Folder name of a run within its set. */
export function runName(
  cell: Readonly<Record<'scenario' | 'mem' | 'engine', string>> & Pick<MatrixRun, 'repeat'>,
): string {
  return `${cell.scenario}-${cell.mem}-${cell.engine}-r${cell.repeat}`;
}

/**
 * Runs in their order. Engines alternate, and the order turns round from one block to the next
 * (AB BA AB ...), so that a slow drift of the machine hits all engines alike. A block is all engines of one scenario,
 * memory row and repeat; a shard has whole blocks.
 */
export function matrixRuns(
  options: Pick<MatrixOptions, 'scenarios' | 'mems' | 'engines' | 'repeat'> & {
    readonly profile?: ProfileName;
    readonly shard?: Shard | undefined;
  },
): readonly MatrixRun[] {
  const engines = options.engines ?? defaultMatrixEngines[options.profile ?? 'lab'];
  const blocks: Omit<MatrixRun, 'engine'>[] = [];
  for (let repeat = 1; repeat <= options.repeat; repeat += 1) {
    for (const mem of options.mems) {
      for (const scenario of options.scenarios) blocks.push({ scenario, mem, repeat });
    }
  }
  const combinations = options.mems.length * options.scenarios.length;
  const own = options.shard === undefined ? blocks : shardBlocks(blocks, combinations, options.shard);
  return own.flatMap((block, position) =>
    (position % 2 === 0 ? engines : engines.toReversed()).map((engine) => ({
      ...block,
      engine,
    })),
  );
}

/** A cell's configuration is that of `npm run experiment` with the matrix's options and the cell's own three. */
export function configurationOf(
  options: MatrixOptions,
  { scenario, mem, engine }: Pick<MatrixRun, 'scenario' | 'mem' | 'engine'>,
): Configuration {
  return resolveConfiguration({
    ...optionsSchema.parse({}),
    ...options,
    scenario,
    mem,
    engine,
    repeat: 1,
    out: '',
  });
}
