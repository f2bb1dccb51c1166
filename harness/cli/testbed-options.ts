/** What commands do with their options before anything starts. */
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import type { Configuration } from '../../experiments/configuration.ts';
import { checkCapacity, checkCombination } from '../run/plan.ts';
import { holdInventory } from '../testbed/inventory/hold.ts';
import { readInventory } from '../testbed/inventory/read-inventory.ts';
import type { Inventory } from '../testbed/inventory/schema.ts';
import { waitForRoom } from '../testbed/local/lab-process.ts';
import { startVagrant } from '../testbed/vagrant/start.ts';
import { localMachine } from './local-machine.ts';
import type { AtEnd } from './run-command.ts';

/** A run by its name in messages; "" for the only one. */
interface NamedConfiguration {
  readonly name: string;
  readonly configuration: Configuration;
}

function refuse(name: string, reason: string): never {
  throw new CodedError('command', 'usage', name === '' ? reason : `${name}: ${reason}`);
}

/** The machines of `--testbed inventory`. @throws CodedError 'command', 'usage', CodedError 'inventory', 'invalid' */
export async function inventoryOf(configuration: Configuration): Promise<Inventory | undefined> {
  const combination = checkCombination(configuration);
  if (!combination.fits) refuse('', combination.reason);
  return configuration.inventory === undefined ? undefined : readInventory(configuration.inventory);
}

/**
 * Refuses runs whose options do not go together, and those that this machine cannot hold as a lab; the latter may still be
 * planned, for other machines.
 * @throws CodedError 'command', 'usage'
 */
export async function refuseWhatDoesNotFit(
  runs: readonly NamedConfiguration[],
  { dryRun, say }: { readonly dryRun: boolean; readonly say: (line: string) => void },
): Promise<void> {
  const machine = await localMachine();
  const said = new Set<string>();
  for (const { name, configuration } of runs) {
    const combination = checkCombination(configuration);
    if (!combination.fits) refuse(name, combination.reason);
    // Of other machines nothing is known here.
    if (configuration.testbed !== 'local') continue;
    const capacity = checkCapacity(configuration, machine);
    if (capacity.fits) continue;
    if (!dryRun) refuse(name, capacity.reason);
    if (!said.has(capacity.reason))
      say(`this machine cannot run ${name === '' ? 'this' : name}: ${capacity.reason}`);
    said.add(capacity.reason);
  }
}

interface TestbedUse {
  readonly testbed: Configuration['testbed'];
  /** Of `--testbed inventory`. */
  readonly inventory: Inventory | undefined;
  /** What the user ran, for the message that others get. */
  readonly owner: string;
  readonly say: (line: string) => void;
}

/**
 * Brings Vagrant's machines up, and keeps machines for this command until `atEnd`; the local lab is one run's at a time by
 * itself. Returns the machines, for another testbed than the local lab.
 * @throws CodedError 'command', 'usage' without root or where a machine cannot be reached; CodedError 'lab', CodedError 'inventory', 'invalid' where another user has
 * the lab or a machine and is not to be waited for; CodedError 'vagrant'
 */
export async function waitForTestbed(
  { testbed, inventory: listed, owner, say }: TestbedUse,
  atEnd: AtEnd,
): Promise<Inventory | undefined> {
  if (process.getuid?.() !== 0)
    throw new CodedError(
      'command',
      'usage',
      testbed === 'local'
        ? 'the local testbed needs root: it installs Debian packages and makes namespaces, containers and mounts; run this as root'
        : "the guest's image is made on this machine, which needs root: run this as root",
    );
  if (testbed === 'local') {
    await waitForRoom(say);
    return undefined;
  }
  try {
    const inventory = testbed === 'vagrant' ? await startVagrant(say) : listed;
    if (inventory === undefined) return undefined;
    const hold = await holdInventory(inventory, { owner, log: say });
    atEnd(() => hold.release());
    return inventory;
  } catch (error) {
    if (!isCoded(error, 'host')) throw error;
    throw new CodedError(
      'command',
      'usage',
      `${error.message}\n"npm run doctor" says what to fix (docs/doctor.md)`,
      {
        cause: error,
      },
    );
  }
}
