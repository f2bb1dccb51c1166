/** A run's progress on a terminal that nobody reads; says in a folder how far it has come. */
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runOutput } from './progress.ts';

const [folder = ''] = process.argv.slice(2);
const at = (name: string): string => path.join(folder, name);
const { onEvent } = runOutput(false, new Map());
onEvent({ event: 'step-started', at_ms: 0, step: 'migrate' });
writeFileSync(at('ready'), '');
while (!existsSync(at('go'))) await sleep(20);
// More than a terminal and its reader keep.
for (let line = 0; line < 2000; line += 1) onEvent({ event: 'note', at_ms: 0, text: 'x'.repeat(100) });
onEvent({ event: 'step-ended', at_ms: 0, step: 'migrate', duration_ms: 1000 });
writeFileSync(at('migrated'), '');
