/** `holder.fixture.ts HOSTS.YAML`: another user of an inventory's machines, until it is killed. Says "held", or why not. */
import { holdInventory } from './hold.ts';
import { InventoryError } from './inventory-error.ts';
import { readInventory } from './read-inventory.ts';

try {
  await holdInventory(await readInventory(process.argv[2] ?? ''), {
    owner: 'holder.fixture.ts',
    log: (line) => {
      console.error(line);
    },
  });
  console.log('held');
  process.stdin.resume();
} catch (error) {
  if (!(error instanceof InventoryError)) throw error;
  console.log(error.message);
}
