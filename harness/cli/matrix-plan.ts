/** What a matrix is going to do: the configuration of each cell, and how long all of them are expected to take. Pure. */
import { mebibytes } from '../../foundation/quantity.ts';
import { type Configuration, linkRatesOf } from '../../experiments/configuration.ts';
import { linkRatesText } from '../../experiments/link-rates.ts';
import { type MatrixRun, type MatrixOptions, runName, configurationOf } from '../../experiments/matrix.ts';
import { shardName } from '../../experiments/shard.ts';
import { expectedSeconds } from '../run/plan.ts';

/** What a row is run with. */
function settingsText(configuration: Configuration): string {
  const { paperRowGib, vms, vmMemoryBytes, bufferPoolBytes, threads, rateTps } = configuration;
  const load = rateTps === 0 ? 'at full speed' : `at ${rateTps} transactions a second`;
  return (
    `${paperRowGib} GiB: ${vms === undefined ? 'VM' : `${vms} VMs of`} ${mebibytes(vmMemoryBytes)}, pool ${mebibytes(bufferPoolBytes)}, ` +
    `links ${linkRatesText(linkRatesOf(configuration))}, ${threads} threads ${load}, ` +
    `${configuration.beforeSeconds} s of load before and ${configuration.afterSeconds} s after`
  );
}

/** The runs, and the minutes that they are expected to take. */
export function planText(options: MatrixOptions, cells: readonly MatrixRun[]): string {
  const configurations = cells.map((cell) => configurationOf(options, cell));
  const minutes = (accelerator: 'tcg' | 'kvm') =>
    configurations.map((configuration) => expectedSeconds(configuration, accelerator) / 60);
  const [underTcg, underKvm] = [minutes('tcg'), minutes('kvm')];
  const lines = cells.map(
    (cell, index) =>
      `  ${runName(cell).padEnd(24)} ${(underTcg[index] ?? 0).toFixed(1)} min (KVM: ${(underKvm[index] ?? 0).toFixed(1)})`,
  );
  const total = (values: readonly number[]): string =>
    values.reduce((sum, value) => sum + value, 0).toFixed(0);
  const part = options.shard === undefined ? '' : ` of shard ${shardName(options.shard)}`;
  return [
    `${cells.length} runs${part}:`,
    ...new Set(configurations.map(settingsText)),
    ...lines,
    `expected: ${total(underTcg)} min under TCG, ${total(underKvm)} min with KVM`,
  ].join('\n');
}

/** The same for programs: a line of JSON for each run. */
export function planJson(options: MatrixOptions, cells: readonly MatrixRun[]): string {
  return cells
    .map((cell) => {
      const configuration = configurationOf(options, cell);
      const [tcg, kvm] = (['tcg', 'kvm'] as const).map((name) => expectedSeconds(configuration, name));
      const { repeat } = cell;
      return JSON.stringify({
        ...{ event: 'planned', name: runName(cell), repeat },
        ...{ expectedSeconds: { tcg, kvm }, configuration },
      });
    })
    .join('\n');
}
