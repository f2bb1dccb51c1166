/** Ends this process, with what it has written read: the last line is the one that counts. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type PatientOutput, taken } from '../foundation/patient-output.ts';

/** A program that reads and lags gets so long, and then no last line; who has stopped a terminal will let it go on. */
const lastLineMs = 30_000;

/** Does not return. */
export async function endProcess(output: PatientOutput): Promise<never> {
  const written = Promise.all([output.drained(), taken(process.stderr)]);
  await (process.stdout.isTTY ? written : Promise.race([written, sleep(lastLineMs)]));
  process.exit();
}
