/** `npm run compare -- BASE NEW`: the regression gate between two sets of runs. */
import { Command, CommanderError } from 'commander';
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import { compareSets } from '../compare/compare.ts';
import { findingHead, findingLine } from '../compare/finding-line.ts';
import { describeDifferences, differencesAmong } from '../record/conditions.ts';
import { readSet } from '../record/read-set.ts';

const exitCodes = { noRegression: 0, regression: 1, usage: 2, tooFewSamples: 3 } as const;

interface Options {
  readonly json: boolean;
  readonly allowDifferent: boolean;
}

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

const command = new Command('compare')
  .description('Compares two sets of runs of the same cells: BASE, and NEW with a change in the engine.')
  .argument('<base>', 'set of runs before the change')
  .argument('<new>', 'set of runs with it')
  .option('--json', 'print findings as JSON', false)
  .option('--allow-different', 'also compare sets that were made under different conditions', false)
  .addHelpText(
    'after',
    '\nExit codes: 0 no regression; 1 regression; 2 wrong option, not readable, or incompatible sets; ' +
      '3 too few samples to tell.',
  )
  .exitOverride();

async function compare(baseFolder: string, nextFolder: string, options: Options): Promise<number> {
  // A run that failed its checks is a figure of its own here: see metrics.ts.
  const [base, next] = await Promise.all(
    [baseFolder, nextFolder].map((folder) => readSet([folder], { failedToo: true })),
  );
  if (base === undefined || next === undefined) throw new TypeError('two sets are needed');
  for (const { name, reason } of [...base.leftOut, ...next.leftOut]) say(`left out: ${name} ${reason}`);
  const differences = differencesAmong([...base.runs, ...next.runs]);
  if (differences.length > 0 && !options.allowDifferent) {
    throw new CodedError(
      'report',
      'different-conditions',
      `the sets were made under different conditions (--allow-different compares them anyway):\n${describeDifferences(differences)}`,
    );
  }
  const { findings, unpaired } = compareSets(base, next);
  if (options.json) console.log(JSON.stringify({ differences, unpaired, findings }, undefined, 2));
  else {
    for (const { condition, values } of differences) say(`different: ${condition}: ${values.join(' | ')}`);
    if (unpaired.length > 0) say(`in one set only, left out: ${unpaired.join(', ')}`);
    if (findings.length === 0) say('nothing to compare: no cell in common, or not a single figure differs');
    if (findings.length > 0) console.log(findingHead);
    for (const finding of findings) console.log(findingLine(finding));
  }
  const has = (kind: string): boolean => findings.some((finding) => finding.kind === kind);
  if (has('regression')) return exitCodes.regression;
  // Sets without a cell in common cannot tell anything either.
  return has('too-few-samples') || findings.length === 0 ? exitCodes.tooFewSamples : exitCodes.noRegression;
}

try {
  command.parse();
  const [base = '', next = ''] = command.args;
  process.exitCode = await compare(base, next, command.opts<Options>());
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : exitCodes.usage;
  else if (isCoded(error, 'report')) {
    say(`compare: ${error.message}`);
    process.exitCode = exitCodes.usage;
  } else throw error;
}
