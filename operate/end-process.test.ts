/** A reader that lags. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';

test('the last line is there for a reader that is slow', async (t) => {
  const program = `import { endProcess } from ${JSON.stringify(path.join(import.meta.dirname, 'end-process.ts'))};
import { PatientOutput } from ${JSON.stringify(path.join(import.meta.dirname, '../foundation/patient-output.ts'))};
const output = new PatientOutput(process.stdout);
for (let line = 0; line < 3000; line++) output.write('x'.repeat(99) + '\\n');
output.write('the end\\n');
process.exitCode = 3;
await endProcess(output);`;
  const child = spawn(process.execPath, ['--input-type=module-typescript', '--eval', program]);
  const ended = new Promise((resolve) => child.once('close', resolve));
  // A pipe takes 64 KiB; nobody reads.
  await sleep(1500);
  let text = '';
  for await (const chunk of child.stdout.setEncoding('utf8')) text += String(chunk);
  t.true(text.endsWith('the end\n'));
  t.is(text.length, 300_000 + 'the end\n'.length);
  t.is(await ended, 3);
});
