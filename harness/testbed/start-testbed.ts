/** The testbed that an experiment asks for. */
import type { LinkRates } from '../../experiments/link-rates.ts';
import type { Log } from '../../scripts/cache.ts';
import type { Testbed } from './host.ts';
import type { Inventory } from './inventory/schema.ts';
import { startInventoryTestbed } from './inventory/start.ts';
import { startLocalTestbed } from './local/start.ts';

interface TestbedOptions {
  /** Machines to use; without it, the local lab is made. */
  readonly inventory: Inventory | undefined;
  /** Rates of the networks, where the testbed shapes them. */
  readonly rates: LinkRates;
  /** Whether to leave the testbed up; asked when it is closed. */
  readonly keep: () => boolean;
  /** What the user ran. */
  readonly owner: string;
  readonly log: Log;
}

/** @throws CodedError 'lab', CodedError 'inventory', 'invalid', CodedError 'host', CodedError 'set-up' */
export function startTestbed(options: TestbedOptions): Promise<Testbed> {
  const { inventory, rates, keep, owner, log } = options;
  return inventory === undefined
    ? startLocalTestbed({ rates, keep, owner, log })
    : startInventoryTestbed({ inventory, rates, keep, owner, log });
}
