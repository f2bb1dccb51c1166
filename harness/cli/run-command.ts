/** The end of every command: its exit code, and what an error looks like. */
import { InventoryError } from '../testbed/inventory/inventory-error.ts';
import { LabError } from '../testbed/local/lab-error.ts';
import { UsageError, exitCodes } from './options.ts';

/** Runs `main` and ends the process with the exit code that it gives. Whatever a library still holds open does not matter. */
export async function runCommand(name: string, main: () => Promise<number>): Promise<never> {
  try {
    process.exit(await main());
  } catch (error) {
    // Nothing has been started: another lab is up, this user may not make one, or the inventory is wrong.
    if (error instanceof UsageError || error instanceof LabError || error instanceof InventoryError) {
      console.error(`${name}: ${error.message}`);
      process.exit(exitCodes.usage);
    }
    console.error(error);
    process.exit(exitCodes.failed);
  }
}
