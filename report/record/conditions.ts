/** The conditions under which runs were made: what must agree before their figures may stand side by side. Pure. */
import { gibibytes, mebibytes } from '../../foundation/quantity.ts';
import { engineNames, engines } from '../../experiments/engines.ts';
import { scenarioNames, scenarios } from '../../experiments/scenarios.ts';
import { linkRatesText } from '../../experiments/link-rates.ts';
import type { Run } from './read-set.ts';
import { linkRatesOf } from './run-row.ts';

export const conditionNames = [
  'testbed',
  'accelerator',
  'machine',
  'scale',
  'link rate',
  'DBMS',
  'database server',
  'QEMU',
  'sysbench threads',
  'sysbench rate',
  'downtime limit',
  'raised downtime limit',
  'before switch',
  'compression',
  'placement',
  'time limit',
  'load before',
  'load after',
  'RAM comparison',
  'target memory',
  'warm start',
  'VMs at once',
  'guest',
] as const;
export type ConditionName = (typeof conditionNames)[number];

/** Undefined: it does not apply to the run. */
type Conditions = Readonly<Record<ConditionName, string | undefined>>;

const unknown = 'unknown';

export function conditionsOf({ row, manifest }: Pick<Run, 'row' | 'manifest'>): Conditions {
  const { machine, versions, configuration } = manifest;
  return {
    testbed: row.testbed ?? unknown,
    accelerator: row.accelerator ?? unknown,
    machine: `${machine.cpuModel}, ${machine.cores} cores, ${gibibytes(machine.memoryBytes, 0)}`,
    scale: `1/${row.scale}`,
    'link rate': linkRatesText(linkRatesOf(row)),
    DBMS: row.dbms ?? unknown,
    'database server': versions.databaseServer ?? unknown,
    QEMU: versions.qemu ?? unknown,
    'sysbench threads': hasLoad(row.scenario) ? String(row.threads ?? unknown) : undefined,
    'sysbench rate': hasLoad(row.scenario) ? String(row.rate_tps ?? unknown) : undefined,
    'downtime limit': `${row.downtime_limit_ms ?? unknown} ms`,
    // Older engines never raised it.
    'raised downtime limit': isOurs(row.engine) ? `${configuration.downtimeLimitMaxMs ?? 0} ms` : undefined,
    'before switch':
      configuration.beforeSwitchPercent === undefined ? undefined : `${configuration.beforeSwitchPercent} %`,
    compression: isOurs(row.engine) ? (configuration.compress ?? 'as the engine decides') : undefined,
    // Older engines had none: what a build gained by it is to be seen.
    placement: isOurs(row.engine) ? configuration.placement : undefined,
    'time limit': `${configuration.maxTimeSeconds} s`,
    'load before': `${configuration.beforeSeconds} s`,
    'load after': `${configuration.afterSeconds} s`,
    // A target that waits for the comparison is not timed like one that runs at once.
    'RAM comparison': String(configuration.verifyRam),
    'target memory': configuration.targetMemory ?? 'plain',
    // A guest that goes on from a file has aged differently from one that was booted for the run.
    'warm start': String(configuration.warmStart ?? false),
    'VMs at once': String(configuration.vms ?? 1),
    guest: configuration.guest ?? 'fresh',
  };
}

const hasLoad = (scenario: string): boolean =>
  !scenarioNames.some((name) => name === scenario && scenarios[name].sysbenchWorkload === undefined);

const isOurs = (engine: string): boolean =>
  engineNames.some((name) => name === engine && engines[name].kind === 'poolshift');

export interface Difference {
  readonly condition: string;
  readonly values: readonly string[];
}

/** Every condition that has more than one value among the runs; VMs of one memory row must be of one size, too, and TPC-C's. */
export function differencesAmong(runs: readonly Pick<Run, 'row' | 'manifest'>[]): Difference[] {
  const all = runs.map((run) => conditionsOf(run));
  const differing = conditionNames.map((condition): Difference => ({
    condition,
    values: [...new Set(all.flatMap((conditions) => conditions[condition] ?? []))],
  }));
  for (const [paperRowGib, ofRow] of Map.groupBy(runs, ({ row }) => row.paper_row_gib)) {
    const sizes = ofRow.map(({ row, manifest }) =>
      [row.vm_memory_bytes, row.buffer_pool_bytes, manifest.configuration.tableDataBytes]
        .map((bytes) => memory(bytes))
        .join(' / '),
    );
    const warehouses = ofRow.flatMap(({ manifest }) => manifest.configuration.warehouses ?? []);
    differing.push(
      { condition: `memory / pool / tables of row ${paperRowGib}`, values: [...new Set(sizes)] },
      { condition: `warehouses of row ${paperRowGib}`, values: [...new Set(warehouses.map(String))] },
    );
  }
  return differing.filter(({ values }) => values.length > 1);
}

export function describeDifferences(differences: readonly Difference[]): string {
  return differences.map(({ condition, values }) => `  ${condition}: ${values.join(' | ')}`).join('\n');
}

function memory(bytes: number | undefined): string {
  return bytes === undefined ? unknown : mebibytes(bytes);
}
