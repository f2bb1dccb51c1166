/** What shards of one matrix must agree in before they become one set, and which of them are not there. Pure. */
import { type MatrixRun, runName } from '../../experiments/matrix.ts';
import { type PlannedRun, unionOfPlans } from '../../experiments/planned-cells.ts';
import { memOf } from '../../experiments/paper-rows.ts';
import { shardName } from '../../experiments/shard.ts';
import type { Manifest } from '../manifest.ts';
import { nameOfVm } from '../run-vms.ts';

export interface RecordedRun {
  /** The set's folder, as it was given. */
  readonly set: string;
  readonly manifest: Manifest;
}

/** Which run of a matrix was recorded. */
export function matrixRunOf({ configuration, repeat }: Manifest): MatrixRun {
  const { scenario, paperRowGib, engine } = configuration;
  return { scenario, mem: memOf(paperRowGib), engine, repeat };
}

/** Scenario, memory row, engine, repeat, and which VM of several: the folder's name in a set. */
export function runNameOf(manifest: Manifest): string {
  return nameOfVm(runName(matrixRunOf(manifest)), manifest.vm ?? 0);
}

/**
 * What a set that is merged of others was meant to have: what they record, and for those that record nothing the cells of
 * their runs. Undefined where none of them records it.
 * @param plans of each set; undefined where it has no record
 * @param runs all that were found, those that do not come into the merged set as well
 */
export function mergedPlan(
  plans: readonly (readonly PlannedRun[] | undefined)[],
  runs: readonly RecordedRun[],
): readonly PlannedRun[] | undefined {
  const recorded = plans.filter((plan) => plan !== undefined);
  if (recorded.length === 0) return undefined;
  return unionOfPlans(
    ...recorded,
    runs.map(({ manifest }) => matrixRunOf(manifest)),
  );
}

/** Cells that more than one run is of, each with the sets that hold it. */
export function repeatedCells(runs: readonly RecordedRun[]): readonly string[] {
  return [...Map.groupBy(runs, ({ manifest }) => runNameOf(manifest))]
    .filter(([, ofCell]) => ofCell.length > 1)
    .map(([name, ofCell]) => `${name} is in ${ofCell.map(({ set }) => set).join(' and in ')}`);
}

/** The cell's own, and where its machines are listed: shards have pairs of their own. */
const cellKeys: ReadonlySet<string> = new Set(['scenario', 'paperRowGib', 'engine', 'inventory']);
/** Follow from the memory row, so they need to agree within one row only. */
const sizeKeys: ReadonlySet<string> = new Set([
  'vmMemoryBytes',
  'bufferPoolAskedBytes',
  'bufferPoolBytes',
  'poolInUseAskedBytes',
  'tableDataBytes',
  'warehouses',
]);

type Conditions = Readonly<Record<string, string>>;

function conditionsOf({
  configuration,
  shard,
  accelerator,
  revision,
  versions,
  machine,
}: Manifest): Conditions {
  const { paperRowGib } = configuration;
  const settings = Object.entries(configuration)
    .filter(([key]) => !cellKeys.has(key))
    .map(([key, value]): [string, string] => [
      sizeKeys.has(key) ? `${key} of row ${paperRowGib}` : key,
      String(value),
    ]);
  const commit = revision.commit ?? 'no commit';
  return {
    ...Object.fromEntries(settings),
    warmStart: String(configuration.warmStart ?? false),
    vms: String(configuration.vms ?? 1),
    targetMemory: configuration.targetMemory ?? 'plain',
    guest: configuration.guest ?? 'fresh',
    // A run that belongs to no shard may complete a set.
    ...(shard === undefined ? {} : { 'number of shards': String(shard.count) }),
    accelerator: accelerator.name,
    revision: revision.dirty ? `${commit} with changes` : commit,
    ...Object.fromEntries(
      Object.entries(versions).map(([key, value]): [string, string] => [
        `version of ${key}`,
        value ?? 'unknown',
      ]),
    ),
    machine: `${machine.cpuModel}, ${machine.cores} cores, ${Math.round(machine.memoryBytes / 2 ** 30)} GiB`,
    distribution: machine.distribution,
  };
}

/** Every option and condition that has more than one value, with a set for each value: "seed: 1 (a), 2 (b)". */
export function differencesAmong(runs: readonly RecordedRun[]): readonly string[] {
  const setsByValue = new Map<string, Map<string, string>>();
  for (const { set, manifest } of runs) {
    for (const [name, value] of Object.entries(conditionsOf(manifest))) {
      const values = setsByValue.get(name) ?? new Map<string, string>();
      setsByValue.set(name, values);
      if (!values.has(value)) values.set(value, set);
    }
  }
  return [...setsByValue]
    .filter(([, values]) => values.size > 1)
    .map(([name, values]) => `${name}: ${[...values].map(([value, set]) => `${value} (${set})`).join(', ')}`);
}

/**
 * Names of planned cells that no run is of, in the plan's order. Empty where no plan is recorded.
 * @param runs all that were found: one that is not finished is there, and is named for that
 */
export function missingCells(
  plan: readonly PlannedRun[] | undefined,
  runs: readonly Pick<RecordedRun, 'manifest'>[],
): readonly string[] {
  const present = new Set(runs.map(({ manifest }) => runNameOf(manifest)));
  return (plan ?? []).map(runName).filter((name) => !present.has(name));
}

/** Shards that no run is of, as "3/5". Empty where the runs were not sharded. */
export function missingShards(runs: readonly RecordedRun[]): readonly string[] {
  const shards = runs.flatMap(({ manifest }) => manifest.shard ?? []);
  const count = shards[0]?.count ?? 0;
  const present = new Set(shards.map(({ index }) => index));
  return Array.from({ length: count }, (_, index) => index + 1)
    .filter((index) => !present.has(index))
    .map((index) => shardName({ index, count }));
}
