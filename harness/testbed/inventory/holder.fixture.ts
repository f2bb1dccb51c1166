/** `holder.fixture.ts HOSTS.YAML`: another user of an inventory's machines, until it is killed. Says "held", or why not. */
import { isCoded } from '../../../foundation/coded-error.ts';
import { holdInventory } from './hold.ts';
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
  if (!isCoded(error, 'inventory')) throw error;
  console.log(error.message);
}
