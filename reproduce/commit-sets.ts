/** Makes sets that a recipe was run into sets that are committed: small, and with a line in results/README.md. */
import { existsSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Recipe } from '../experiments/recipe.ts';
import { CodedError } from '../foundation/coded-error.ts';
import { writeCommittedSet } from '../record/sets/committed-set.ts';
import { readRecipeSet } from '../report/recipes/recipe-set.ts';

/**
 * `engines-2026-11-30-low` becomes `reference-2026-11-30-engines-low`; a committed one keeps its name.
 * @throws CodedError 'command', 'usage': it is named otherwise
 */
export function committedName({ name }: Pick<Recipe, 'name'>, set: string): string {
  if (/^reference-\d{4}-\d\d-\d\d/.test(set)) return set;
  const [, date, part = ''] = new RegExp(`^${name}-(\\d{4}-\\d\\d-\\d\\d)(-.+)?$`).exec(set) ?? [];
  if (date !== undefined) return `reference-${date}-${name}${part}`;
  throw new CodedError('command', 'usage', `${set} is not named as ${name}-<date>: rename it`);
}

/** Adds a line to the table of committed sets, below its last, unless the set has one. @throws RangeError without a table */
export function withSetRow(
  page: string,
  set: string,
  { name, question }: Pick<Recipe, 'name' | 'question'>,
): string {
  const shown = set.replace(/^reference-/, '');
  const rows = [...page.matchAll(/^\| `\d{4}-\d\d-\d\d.*\|\n/gm)];
  // Of several sets that share a line, all but the first are named by their last part.
  const isThere = rows.some(([row]) => {
    const [first = '', ...parts] = [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(
      (name_) => name_[1] ?? '',
    );
    return [first, ...parts.map((part) => first.replace(/-[^-]+$/, part))].includes(shown);
  });
  if (isThere) return page;
  const last = rows.at(-1);
  if (last === undefined) throw new RangeError('results/README.md has no table of committed sets');
  const end = last.index + last[0].length;
  return `${page.slice(0, end)}| \`${shown}\` | \`${name}\` | ${question} |\n${page.slice(end)}`;
}

/**
 * Of a set that is committed already, in its place. Others are left where they are.
 * @param root of the checkout
 * @param sets their folders
 * @returns the committed ones
 * @throws CodedError 'command', 'usage'; 'record'; 'report', before anything is written, where they are of other runs
 */
export async function commitSets(
  root: string,
  recipe: Recipe,
  sets: readonly string[],
): Promise<readonly string[]> {
  const named = sets.map((set) => {
    const committed = path.join('results', committedName(recipe, path.basename(path.resolve(set))));
    const out = path.join(root, committed);
    if (existsSync(out) && path.resolve(set) !== out)
      throw new CodedError('command', 'usage', `${committed} exists already: remove it, or rename ${set}`);
    return { set, out, committed };
  });
  await readRecipeSet(recipe, sets);
  const readme = path.join(root, 'results', 'README.md');
  for (const { set, out, committed } of named) {
    await writeCommittedSet(set, out);
    const page = await readFile(readme, 'utf8');
    await writeFile(`${readme}.new`, withSetRow(page, path.basename(committed), recipe));
    await rename(`${readme}.new`, readme);
  }
  return named.map(({ out }) => out);
}
