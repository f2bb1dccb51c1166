/** `npm run matrix -- [options]`: many runs in a fair order; goes on after a failed one, and can be resumed. */
import path from 'node:path';
import { CodedError } from '../../foundation/coded-error.ts';
import { matrixOptionsSchema } from '../../experiments/matrix.ts';
import { setNameOf } from '../run/run-id.ts';
import { matrixTable } from './figures.ts';
import { planJson, planText } from './matrix-plan.ts';
import { exitCodes, parseOptions } from './options.ts';
import { type AtEnd, runCommand } from './run-command.ts';
import { planMatrix, runMatrix } from './run-matrix.ts';

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

async function main(atEnd: AtEnd): Promise<number> {
  const options = parseOptions(
    'matrix',
    'Migrates in every combination of load, memory row and method, and records what happens.',
    matrixOptionsSchema,
    process.argv.slice(2),
  );
  if (options === undefined) return exitCodes.ok;
  if (options.resume && options.out === undefined)
    throw new CodedError('command', 'usage', '--resume goes on with a set: name its folder with --out');
  const plan = await planMatrix(options, say);
  if (options.dryRun) {
    console.log(options.json ? planJson(options, plan.cells) : planText(options, plan.cells));
    return exitCodes.ok;
  }
  const set = options.out ?? path.join('results', setNameOf(new Date()));
  const owner = ['npm run matrix --', ...process.argv.slice(2)].join(' ');
  const use = { set, isNew: true, owner, say };
  const { lines, interrupted, failed } = await runMatrix(plan, use, atEnd);
  if (options.json) console.log(JSON.stringify({ event: 'result', set, runs: lines }));
  else console.log(`\n${matrixTable(lines)}\n\nrecorded in ${path.resolve(set)}`);
  if (interrupted) return exitCodes.interrupted;
  return failed ? exitCodes.failed : exitCodes.ok;
}

await runCommand('matrix', main);
