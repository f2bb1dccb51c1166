/** A command that is interrupted, says so, and takes something down, which it shows by a file. */
import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { abortOnSignals } from './interrupt.ts';
import { exitCodes } from './options.ts';
import { runCommand } from './run-command.ts';

const [file = ''] = process.argv.slice(2);
await runCommand('fixture', async () => {
  const signal = abortOnSignals((line) => {
    console.log(line);
  });
  console.log('up');
  await sleep(60_000, undefined, { signal }).catch(() => undefined);
  for (let step = 0; step < 5; step++) {
    console.log(`step ${step}`);
    await sleep(20);
  }
  await writeFile(file, 'down');
  return exitCodes.interrupted;
});
