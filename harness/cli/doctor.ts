/** `npm run doctor -- --inventory hosts.yaml`: looks at machines before experiments run on them, and says what to fix. */
import { z } from 'zod';
import { optionsSchema, resolveConfiguration } from '../../experiments/configuration.ts';
import { type Mem, memValues } from '../../experiments/paper-rows.ts';
import { examine } from '../doctor/examine.ts';
import { type Finding, findingStatuses } from '../doctor/finding.ts';
import type { WantedRow } from '../doctor/judge-host.ts';
import { readInventory } from '../testbed/inventory/read-inventory.ts';
import { abortOnSignals } from './interrupt.ts';
import { exitCodes, parseOptions } from './options.ts';
import { runCommand } from './run-command.ts';

const { profile, scale, linkRate, migrationRate, storageRate, dbms, vms, json } = optionsSchema.shape;

const doctorOptionsSchema = z.object({
  inventory: z
    .string('hosts.yaml is needed (docs/real-hosts.md)')
    .min(1)
    .describe('hosts.yaml (docs/real-hosts.md)'),
  mem: z
    .array(z.enum(memValues))
    .min(1)
    .default(['16'])
    .describe("the paper's memory rows that the machines must hold"),
  profile,
  scale,
  linkRate,
  migrationRate,
  storageRate,
  dbms,
  vms,
  json: json.describe('print findings as JSON lines'),
});

const words: Readonly<Record<Finding['status'], string>> = {
  ok: 'ok',
  warning: 'WARN',
  problem: 'FIX',
  'not-checked': '-',
};

/** One line; a second one, indented, says what to do. */
function findingLine({ status, check, hosts, found, fix }: Finding): string {
  const line = `${words[status].padEnd(5)}${hosts.join(' ').padEnd(12)}${check.padEnd(18)}${found}`;
  return fix === undefined ? line : `${line}\n${' '.repeat(17)}→ ${fix}`;
}

async function main(): Promise<number> {
  const options = parseOptions(
    'doctor',
    'Looks at the machines of an inventory and says what to fix before experiments run on them.',
    doctorOptionsSchema,
    process.argv.slice(2),
  );
  if (options === undefined) return exitCodes.ok;
  const inventory = await readInventory(options.inventory);
  const signal = abortOnSignals((line) => {
    console.error(line);
  });
  const counts = Object.fromEntries(findingStatuses.map((status) => [status, 0])) as Record<
    Finding['status'],
    number
  >;
  const row = (mem: Mem): WantedRow => {
    const { profile, scale, linkRate, migrationRate, storageRate, dbms, vms } = options;
    return {
      mem,
      configuration: resolveConfiguration({
        ...optionsSchema.parse({}),
        ...{ mem, profile, scale, linkRate, migrationRate, storageRate, dbms, vms },
      }),
    };
  };
  const [first = '16', ...others] = memValues.filter((mem) => options.mem.includes(mem));
  try {
    await examine({
      inventory,
      rows: [row(first), ...others.map(row)],
      owner: ['npm run doctor --', ...process.argv.slice(2)].join(' '),
      signal,
      onFinding: (finding) => {
        counts[finding.status] += 1;
        console.log(options.json ? JSON.stringify({ event: 'finding', ...finding }) : findingLine(finding));
      },
    });
  } catch (error) {
    if (signal.aborted) return exitCodes.interrupted;
    throw error;
  }
  const summary = `${counts.ok} ok, ${counts.warning} warnings, ${counts.problem} problems, ${counts['not-checked']} not checked`;
  console.log(options.json ? JSON.stringify({ event: 'result', ...counts }) : summary);
  return counts.problem > 0 ? exitCodes.failed : exitCodes.ok;
}

await runCommand('doctor', main);
