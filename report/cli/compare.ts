/** `npm run compare -- BASE NEW`: the regression gate between two sets of runs. */
import { Command, CommanderError, Option } from 'commander';
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import { helpSettings } from '../../foundation/command-help.ts';
import { watchStandardOutput } from '../../foundation/standard-output.ts';
import { whatIsWrong } from '../../record/what-is-wrong.ts';
import { compareSets, type Selection, type Verdict } from '../compare/compare.ts';
import {
  comparisonMarkdown,
  differenceLines,
  findingLines,
  remarkLines,
  summaryLine,
} from '../compare/comparison-text.ts';
import { metrics } from '../compare/metrics.ts';
import { describeDifferences, differencesAmong } from '../record/conditions.ts';
import { readSet, type Run } from '../record/read-set.ts';

const usageExitCode = 2;
const exitCodes: Readonly<Record<Verdict, number>> = {
  'no-regression': 0,
  regression: 1,
  'too-few-samples': 3,
};

interface Options {
  readonly json: boolean;
  readonly markdown: boolean;
  readonly metrics?: string;
  readonly engines?: string;
  readonly allowDifferent: boolean;
  readonly allowMissing: boolean;
}

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

/** A metric's name as an option's value. */
const keyOf = (name: string): string => name.replaceAll(' ', '-').toLowerCase();

const command = new Command('compare')
  .configureHelp(helpSettings)
  .description('Compares two sets of runs of the same cells: BASE, and NEW with a change in the engine.')
  .argument('<base>', 'set of runs before the change')
  .argument('<new>', 'set of runs with it')
  .option(
    '--metrics <names>',
    `only these, with commas between: ${metrics.map(({ name }) => keyOf(name)).join(', ')}`,
  )
  .option('--engines <names>', 'only these, with commas between; fewer tests need fewer repeats')
  .option('--json', 'print verdict and findings as one JSON document', false)
  .addOption(
    new Option('--markdown', 'print them as Markdown, for a pull request').default(false).conflicts('json'),
  )
  .option('--allow-different', 'also compare sets that were made under different conditions', false)
  .option('--allow-missing', 'NEW may lack cells that BASE has', false)
  .addHelpText(
    'after',
    '\nExit codes: 0 no regression; 1 regression, or damage that BASE has not; 2 wrong option,\n' +
      'not readable, not written, or incompatible sets;\n' +
      '3 too few runs to tell, or none of a cell in NEW.',
  )
  .exitOverride();

async function compare(baseFolder: string, nextFolder: string, options: Options): Promise<number> {
  // A run that failed its checks is a figure of its own here, also where it was made again: see metrics.ts.
  const [base, next] = await Promise.all(
    [baseFolder, nextFolder].map((folder) => readSet([folder], { failedToo: true, setAsideToo: true })),
  );
  if (base === undefined || next === undefined) throw new TypeError('two sets are needed');
  const differences = differencesAmong([...base.runs, ...next.runs]);
  if (differences.length > 0 && !options.allowDifferent) {
    throw new CodedError(
      'report',
      'different-conditions',
      `the sets were made under different conditions (--allow-different compares them anyway):\n${describeDifferences(differences)}`,
    );
  }
  const { engines, metrics: chosen } = selectionOf(options, [...base.runs, ...next.runs]);
  const comparison = compareSets(base, next, {
    engines,
    metrics: chosen,
    allowMissing: options.allowMissing,
  });
  const { verdict, findings, ...remarks } = comparison;
  if (options.json) console.log(JSON.stringify({ verdict, differences, ...remarks, findings }, undefined, 2));
  else if (options.markdown)
    console.log(comparisonMarkdown(comparison, { base: baseFolder, next: nextFolder, differences }));
  else {
    for (const line of [...differenceLines(differences), ...remarkLines(comparison)]) say(line);
    for (const line of findings.length === 0 ? [] : findingLines(findings)) console.log(line);
    console.log(summaryLine(comparison));
  }
  return exitCodes[verdict];
}

/** @throws CodedError 'report', 'unknown-name' */
function selectionOf(options: Options, runs: readonly Run[]): Selection {
  return {
    metrics: chosenOf(
      'metrics',
      options.metrics,
      metrics.map(({ name }) => name),
    ),
    engines: chosenOf('engines', options.engines, [...new Set(runs.map(({ row }) => row.engine))]),
  };
}

function chosenOf(option: string, given: string | undefined, valid: readonly string[]): string[] | undefined {
  return given?.split(',').map((key) => {
    const name = valid.find((one) => keyOf(one) === key.trim().toLowerCase());
    if (name !== undefined) return name;
    const choices = valid.map(keyOf).join(', ');
    throw new CodedError('report', 'unknown-name', `--${option} ${key}: valid are ${choices}`);
  });
}

const unwritten = watchStandardOutput();
try {
  command.parse();
  const [base = '', next = ''] = command.args;
  process.exitCode = await compare(base, next, command.opts<Options>());
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : usageExitCode;
  else if (isCoded(error, 'report') || isCoded(error, 'record')) {
    say(`compare: ${whatIsWrong(error)}`);
    process.exitCode = usageExitCode;
  } else throw error;
}
const problem = await unwritten();
if (problem !== undefined) {
  say(`compare: ${problem}`);
  process.exitCode = usageExitCode;
}
