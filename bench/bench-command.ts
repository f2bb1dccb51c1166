/** Command line of a benchmark: `npm run bench -- NAME` passes on what follows. */
import path from 'node:path';
import { Command } from 'commander';
import { helpSettings } from '../foundation/command-help.ts';

/** With the options that every benchmark has. A wrong option ends the program with 2. */
export function benchCommand(file: string, what: string): Command {
  return new Command(`bench ${path.basename(file, '.bench.ts')}`)
    .configureHelp(helpSettings)
    .description(what)
    .option('--json', 'write JSON to standard output')
    .option('--record', 'write the output to results/bench, too (bench/main.ts does)')
    .addHelpText('after', '\nExit codes: 0 measured; 1 failed; 2 wrong option.')
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2));
}
