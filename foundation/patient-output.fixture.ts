/** Writes to its terminal, once there is the file "go", until that takes no more, says so by the file "full", and then its last line. */
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PatientOutput } from './patient-output.ts';

const [folder = ''] = process.argv.slice(2);
const output = new PatientOutput(process.stdout);
writeFileSync(path.join(folder, 'ready'), '');
while (!existsSync(path.join(folder, 'go'))) await sleep(20);
while (output.hasRoom) output.write(`${'x'.repeat(100)}\n`);
writeFileSync(path.join(folder, 'full'), '');
output.write('the end\n');
await output.drained();
