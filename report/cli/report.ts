/** `npm run report -- DIR… [--out DIR]`: figures, claims and an interactive page from recorded runs. */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Command, CommanderError, Option } from 'commander';
import { CodedError } from '../../foundation/coded-error.ts';
import { helpSettings } from '../../foundation/command-help.ts';
import { watchStandardOutput } from '../../foundation/standard-output.ts';
import { counted } from '../../foundation/quantity.ts';
import { whatIsWrong } from '../../record/what-is-wrong.ts';
import { claimsMarkdown } from '../claims/claims-table.ts';
import { paperClaimsOf } from '../claims/claims.ts';
import { languages, type Language } from '../figures/text.ts';
import { describeDifferences, differencesAmong } from '../record/conditions.ts';
import { readmeBlock, readmePicture, withBlock } from '../recipes/readme-block.ts';
import { readResultsPage } from '../recipes/write-results.ts';
import { writeWhole } from '../../record/whole-file.ts';
import { readSet, type RunSet } from '../record/read-set.ts';
import { writeReport } from '../render/write-report.ts';

const exitCodes = { ok: 0, failed: 1, usage: 2 } as const;

interface Options {
  readonly out?: string;
  readonly lang: Language;
  readonly failedToo: boolean;
  readonly allowDifferent: boolean;
  readonly readme: boolean;
  readonly bare: boolean;
}

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

const command = new Command('report')
  .configureHelp(helpSettings)
  .description('Makes the figures, the table of claims and an interactive page from recorded runs.')
  .argument('<folders...>', 'result folders, or sets of them')
  .option('--out <dir>', 'where to write (default: report/ in the first folder)')
  .addOption(new Option('--lang <lang>', 'language of labels').choices(languages).default('en'))
  .option('--bare', 'figures without title block, for papers; their captions beside them as text', false)
  .option('--failed-too', 'also take runs whose checks failed', false)
  .option('--allow-different', 'also put runs side by side that were made under different conditions', false)
  .option(
    '--readme',
    'also put the table of methods into README.md, and the figure that docs/results.md shows of them',
    false,
  )
  .addHelpText(
    'after',
    '\nExit codes: 0 done; 1 not readable, drawn or written; 2 wrong option, or incompatible runs.',
  )
  .exitOverride();

const root = path.join(import.meta.dirname, '../..');
async function showInReadme(set: RunSet, folders: readonly string[], options: Options): Promise<void> {
  const readme = path.join(root, 'README.md');
  const fromRoot = folders.map((folder) => path.relative(root, path.resolve(folder)));
  const flags = [
    ...(options.failedToo ? ['--failed-too'] : []),
    ...(options.allowDifferent ? ['--allow-different'] : []),
  ];
  const picture = readmePicture(set, fromRoot, await readResultsPage(root));
  if (picture === undefined) say('README.md gets no picture: docs/results.md shows none of these sets');
  const block = readmeBlock(set, fromRoot, picture, flags);
  const page = withBlock(await readFile(readme, 'utf8'), block);
  await writeWhole(readme, (unfinished) => writeFile(unfinished, page));
}

async function report(folders: readonly string[], options: Options): Promise<void> {
  if (options.readme && options.lang !== 'en') command.error('--readme is in English only');
  const set = await readSet(folders, options);
  for (const { name, reason } of set.leftOut) say(`left out: ${name} ${reason}`);
  const differences = differencesAmong(set.runs);
  if (differences.length > 0 && !options.allowDifferent) {
    throw new CodedError(
      'report',
      'different-conditions',
      `these runs were made under different conditions:\n${describeDifferences(differences)}\n` +
        'make a report of each set, or add --allow-different',
    );
  }
  const out = options.out ?? path.join(folders[0] ?? '.', 'report');
  const count = await writeReport(set, out, { language: options.lang, bare: options.bare }, say);
  if (options.readme) await showInReadme(set, folders, options);
  console.log(claimsMarkdown(paperClaimsOf(set, options.lang), options.lang));
  console.log(
    `${counted(count, 'figure')} of ${counted(set.runs.length, 'run')} in ${path.resolve(out)}; open index.html`,
  );
}

const unwritten = watchStandardOutput();
try {
  command.parse();
  await report(command.args, command.opts<Options>());
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  } else if (error instanceof Error && 'code' in error) {
    say(`report: ${whatIsWrong(error)}`);
    process.exitCode = error.code === 'different-conditions' ? exitCodes.usage : exitCodes.failed;
  } else throw error;
}
const problem = await unwritten();
if (problem !== undefined) {
  say(`report: ${problem}`);
  process.exitCode = exitCodes.failed;
}
