/**
 * `npm run reproduce -- NAME`: runs an experiment that the docs make a claim with, reports it, judges its claims, and writes
 * its block of docs/results.md. It stands above harness and report, which know nothing of each other.
 */
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { CodedError, isCoded } from '../foundation/coded-error.ts';
import { optionsSchema } from '../experiments/configuration.ts';
import { matricesOf, type Recipe } from '../experiments/recipe.ts';
import { recipes } from '../experiments/recipes/all.ts';
import { matrixTable } from '../harness/cli/figures.ts';
import { planText } from '../harness/cli/matrix-plan.ts';
import { exitCodes, parseOptions } from '../harness/cli/options.ts';
import { type AtEnd, runCommand } from '../harness/cli/run-command.ts';
import { planMatrix, runMatrix } from '../harness/cli/run-matrix.ts';
import { firstVmsOf } from '../report/record/cells.ts';
import { judgedClaims, judgedPaperClaims } from '../report/recipes/judge.ts';
import { readResultsPage, writeBlocks, type MadeBlock } from '../report/recipes/write-results.ts';
import { writeReport } from '../report/render/write-report.ts';
import { claimsText } from './claims-text.ts';
import { commitSets } from './commit-sets.ts';
import { listOf, listText } from './list.ts';
import { makeRecipeBlock } from './make-recipe-block.ts';

const root = path.join(import.meta.dirname, '..');

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

const schema = z.object({
  names: z
    .array(z.enum(recipes.map(({ name }) => name)))
    .default([])
    .describe('recipes (experiments/recipes/), as --list has them'),
  list: z
    .boolean()
    .default(false)
    .describe('list recipes: question, runs, expected duration, last recorded run'),
  resume: z
    .boolean()
    .default(false)
    .describe('go on with the set in --out, or with the newest of the recipe; what is done is not run again'),
  out: z.string().min(1).optional().describe('folder of the set (default results/<name>-<date>)'),
  reportOnly: z
    .boolean()
    .default(false)
    .describe('run nothing: make the blocks again from the sets that they name (default: all blocks)'),
  from: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe('run nothing: make the block of one recipe from these sets'),
  commit: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe(
      'run nothing: make these sets of one recipe as small as they are committed, in results/reference-<date>-<name>, ' +
        'give each a line in results/README.md, and make the block from them',
    ),
  testbed: optionsSchema.shape.testbed
    .unwrap()
    .optional()
    .describe(
      'where the four hosts are, as of npm run experiment (default: the recipe’s, which is local for all but one)',
    ),
  inventory: optionsSchema.shape.inventory,
  keepOnFailure: optionsSchema.shape.keepOnFailure,
  live: optionsSchema.shape.live,
  dryRun: optionsSchema.shape.dryRun,
  json: z
    .boolean()
    .default(false)
    .describe('print events, and at the end the result, as JSON lines; of --list, one JSON document'),
});

type Options = z.infer<typeof schema>;

/** The one recipe that is named. @throws CodedError 'command', 'usage' */
function oneOf(named: readonly Recipe[], what: string): Recipe {
  const [recipe] = named;
  if (recipe !== undefined && named.length === 1) return recipe;
  const names = recipes.map(({ name }) => name).join(', ');
  throw new CodedError('command', 'usage', `name one recipe to ${what}: ${names}; --list says what they are`);
}

/** @throws CodedError 'command', 'usage': the set is not in this checkout, or is not there */
function fromRoot(set: string): string {
  const relative = path.relative(root, path.resolve(set));
  if (relative.startsWith('..') || path.isAbsolute(relative))
    throw new CodedError(
      'command',
      'usage',
      `${set} is outside of this checkout, so docs/results.md cannot name it`,
    );
  if (!existsSync(path.join(root, relative))) throw new CodedError('command', 'usage', `there is no ${set}`);
  return relative;
}

/** What reads sets runs nothing, and writes. @throws CodedError 'command', 'usage' */
function refuseContradictions(options: Options): void {
  const { commit, from, dryRun, resume, out, reportOnly } = options;
  const readers = {
    '--commit': commit !== undefined,
    '--from': from !== undefined,
    '--report-only': reportOnly,
  };
  const [reads, ...otherReaders] = Object.entries(readers).filter(([, isGiven]) => isGiven);
  if (reads === undefined) return;
  const others = {
    '--dry-run': dryRun,
    '--resume': resume,
    '--out': out !== undefined,
    ...Object.fromEntries(otherReaders),
  };
  const [other] = Object.entries(others).find(([, isGiven]) => isGiven) ?? [];
  if (other !== undefined)
    throw new CodedError(
      'command',
      'usage',
      `${reads[0]} runs nothing, and writes docs/results.md: leave out ${other}`,
    );
}

/** Folder of a new set, or of the recipe's newest one; names of parts of the recipe that have their own are added to it. */
function setOf(recipe: Recipe, { out, resume }: Options): string {
  if (out !== undefined) return out;
  const { name } = recipe;
  const parts = matricesOf(recipe).map((part) => (part.name === '' ? '' : `-${part.name}`));
  const pattern = new RegExp(`^(${name}-\\d{4}-\\d\\d-\\d\\d)(?:${parts.join('|')})$`);
  const results = path.join(root, 'results');
  const newest = readdirSync(results)
    .flatMap((entry) => pattern.exec(entry)?.[1] ?? [])
    .sort()
    .at(-1);
  const today = `${name}-${new Date().toISOString().slice(0, 10)}`;
  return path.join(results, resume ? (newest ?? today) : today);
}

/** Blocks from recorded sets, without a run. */
async function reportAgain(
  named: readonly Recipe[],
  { from, json }: { readonly from?: readonly string[] | undefined; readonly json: boolean },
): Promise<number> {
  const page = await readResultsPage(root);
  const setsOf = ({ name }: Recipe): readonly string[] =>
    from?.map(fromRoot) ?? page.blocks.find(({ recipe }) => recipe === name)?.sets ?? [];
  const made: MadeBlock[] = [];
  for (const recipe of from === undefined && named.length === 0 ? recipes : named)
    made.push(await makeRecipeBlock(root, recipe, setsOf(recipe), recipe.figures.length > 0));
  await writeBlocks(root, made);
  for (const { block, recipeSet } of made) printResult(block.recipe, block.sets, recipeSet, json);
  return exitCodes.ok;
}

function printResult(
  name: string,
  sets: readonly string[],
  recipeSet: MadeBlock['recipeSet'],
  json: boolean,
): void {
  if (recipeSet === undefined) {
    if (json) console.log(JSON.stringify({ event: 'result', recipe: name, sets, runs: 0 }));
    else console.log(`${name}: no set is recorded`);
    return;
  }
  const { set, wanted } = recipeSet;
  const claims = judgedClaims(recipeSet);
  const paperClaims = judgedPaperClaims(recipeSet).flatMap(({ claims: ofPart }) => ofPart);
  const runs = firstVmsOf(set.runs).length;
  if (json)
    console.log(JSON.stringify({ event: 'result', recipe: name, sets, runs, wanted, claims, paperClaims }));
  else
    console.log(
      `${name}: ${runs} of ${wanted} runs in ${sets.join(', ')}\n${claimsText([...claims, ...paperClaims])}`,
    );
}

async function run(recipe: Recipe, options: Options, atEnd: AtEnd): Promise<number> {
  const { resume, testbed, inventory, keepOnFailure, live, dryRun, json } = options;
  const set = setOf(recipe, options);
  const matrices = await Promise.all(
    matricesOf(recipe).map(async ({ name, options: own, command }) => {
      const shared = {
        resume,
        testbed: testbed ?? own.testbed,
        inventory,
        keepOnFailure,
        live,
        dryRun,
        json,
      };
      const folder = name === '' ? set : `${set}-${name}`;
      return { folder, command, plan: await planMatrix({ ...own, ...shared }, say) };
    }),
  );
  if (dryRun) {
    const texts = matrices.map(({ command, plan }) => `${command}\n${planText(plan.options, plan.cells)}`);
    if (json) console.log(JSON.stringify((await listOf(root, [recipe], await readResultsPage(root)))[0]));
    else console.log([`${recipe.name}: ${recipe.question}`, ...texts].join('\n'));
    return exitCodes.ok;
  }
  const owner = ['npm run reproduce --', ...process.argv.slice(2)].join(' ');
  const begun = new Set<string>();
  for (const { folder, plan } of matrices) {
    // A matrix of the same set has been run: this one goes on with it.
    const isBegun = begun.has(folder);
    begun.add(folder);
    const use = { set: folder, isNew: !isBegun, owner, say };
    const { lines, interrupted, failed } = await runMatrix(plan, use, atEnd);
    if (!json) console.log(`\n${matrixTable(lines)}\n`);
    if (interrupted || failed) {
      const given = options.out === undefined ? '' : ` --out ${options.out}`;
      say(
        `docs/results.md is left as it is; go on with: npm run reproduce -- ${recipe.name} --resume${given}`,
      );
      return interrupted ? exitCodes.interrupted : exitCodes.failed;
    }
  }
  const folders = [...begun];
  const sets = folders.map((folder) => path.relative(root, path.resolve(folder)));
  const made = await makeRecipeBlock(root, recipe, sets, true);
  const outside = folders.filter((_, index) => sets[index]?.startsWith('..'));
  for (const [index, folder] of folders.entries()) {
    const runs = made.recipeSet?.set.runs.filter((run) => run.set === path.resolve(folder)) ?? [];
    if (made.recipeSet !== undefined)
      await writeReport(
        { ...made.recipeSet.set, runs },
        path.join(folder, 'report'),
        { language: 'en', bare: false },
        say,
      );
    say(`report of ${sets[index] ?? ''} in ${path.join(folder, 'report')}`);
  }
  if (outside.length > 0)
    say(`${outside.join(', ')}: outside of this checkout, so docs/results.md is left as it is`);
  else await writeBlocks(root, [made]);
  printResult(recipe.name, sets, made.recipeSet, json);
  if (!json)
    console.log(
      `Git ignores ${sets.join(', ')}: to commit what the block is made from, run: ` +
        `npm run reproduce -- ${recipe.name} --commit ${sets.join(' ')}`,
    );
  return exitCodes.ok;
}

async function main(atEnd: AtEnd): Promise<number> {
  const options = parseOptions(
    'reproduce',
    'Runs an experiment that the docs make a claim with, and writes what it shows into docs/results.md.',
    schema,
    process.argv.slice(2),
    'names',
  );
  if (options === undefined) return exitCodes.ok;
  refuseContradictions(options);
  const named = recipes.filter(({ name }) => options.names.includes(name));
  if (options.list) {
    const listed = await listOf(root, named.length === 0 ? recipes : named, await readResultsPage(root));
    console.log(options.json ? JSON.stringify(listed, undefined, 2) : listText(listed));
    return exitCodes.ok;
  }
  try {
    if (options.commit !== undefined) {
      const recipe = oneOf(named, 'commit sets of');
      return await reportAgain([recipe], {
        ...options,
        from: await commitSets(root, recipe, options.commit),
      });
    }
    if (options.from !== undefined) return await reportAgain([oneOf(named, 'make from these sets')], options);
    if (options.reportOnly) return await reportAgain(named, options);
    return await run(oneOf(named, 'run'), options, atEnd);
  } catch (error) {
    if (!isCoded(error, 'report')) throw error;
    if (error.code === 'different-conditions')
      throw new CodedError('command', 'usage', error.message, { cause: error });
    say(`reproduce: ${error.message}`);
    return exitCodes.failed;
  }
}

await runCommand('reproduce', main);
