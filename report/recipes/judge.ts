/** Holds a recipe's claims against its runs. Pure. */
import { median } from 'simple-statistics';
import type { Measure, Recipe, RecipeClaim } from '../../experiments/recipe.ts';
import { type JudgedClaim, minRuns, paperClaimsOf, verdictOf } from '../claims/claims.ts';
import { isCut, notConvergedText } from '../claims/not-converged.ts';
import { firstVmsOf } from '../record/cells.ts';
import type { Run } from '../record/read-set.ts';
import { type Column, columnOf } from './columns.ts';
import type { RecipeSet } from './recipe-set.ts';

/** What is held against a claim's bound: the values of one cell, or of the pairs of one load and memory row. */
interface Place {
  readonly name: string;
  /** One that is infinite refutes the claim: the method that it favours did not converge. */
  readonly values: readonly number[];
  /** How many repeats they are of: two VMs that were moved at once are one. */
  readonly repeats: number;
  readonly runs: readonly Run[];
}

/** The recipe's own; those of the paper are judged by `paperClaimsOf`. */
export function judgedClaims({ recipe, parts }: Pick<RecipeSet, 'recipe' | 'parts'>): JudgedClaim[] {
  return recipe.claims.map((claim) => judge(recipe, claim, parts));
}

/** The paper's claims, by the part of the recipe; one without a title where its parts have none. Empty if it does not ask for them. */
export function judgedPaperClaims({ recipe, parts }: Pick<RecipeSet, 'recipe' | 'parts'>) {
  if (recipe.paperClaims === undefined) return [];
  return [...Map.groupBy(parts, ({ title }) => title)].map(([title, ofTitle]) => ({
    title,
    claims: paperClaimsOf({ runs: ofTitle.flatMap(({ runs }) => runs) }, 'en'),
  }));
}

function judge(recipe: Recipe, claim: RecipeClaim, parts: RecipeSet['parts']): JudgedClaim {
  const { says, measure, holdsIf, scenarios = recipe.scenarios } = claim;
  const column = columnOf(measure.column);
  // Without a load there are no transactions, so a cell may have nothing to say.
  // Every run of an engine is a matter of its own; pairs are of two.
  const engines = measure.kind === 'each-run' ? (measure.engine ?? recipe.engines) : measure.of;
  const isOneRow = new Set(parts.flatMap(({ mems }) => mems)).size === 1;
  const failedCount = measure.kind === 'each-run' && column.ofFailed === true;
  const places = parts.flatMap(({ title, mems, runs, failed }) =>
    mems.flatMap((mem) =>
      scenarios.flatMap((scenario) =>
        [engines].flat().map((engine): Place => {
          const ofPlace = [...runs, ...(failedCount ? failed : [])].filter(
            ({ row }) => row.scenario === scenario && row.paper_row_gib === Number(mem),
          );
          const name = [title, scenario, isOneRow ? '' : mem].filter((word) => word !== '').join(' ');
          return {
            name,
            values: valuesOf(claim, column, engine, ofPlace),
            repeats: valuesOf(claim, column, engine, firstVmsOf(ofPlace)).length,
            runs: ofPlace,
          };
        }),
      ),
    ),
  );
  const measured = places.filter(({ values }) => values.length > 0);
  const isMissing = measured.length === 0;
  const held = measured.flatMap(({ values }) =>
    measure.kind === 'each-run'
      ? values
      : [values.find((value) => !Number.isFinite(value)) ?? median(values)],
  );
  const holds = held.every((value) => isWithin(value, holdsIf));
  const tooFew = measured.some(({ repeats }) => repeats < minRuns);
  return {
    claim: says,
    rule: `${measureText(measure, column)}: ${boundText(claim, column)}`,
    measured: isMissing
      ? ''
      : [measuredText(measure, column, measured), cutText(measure, column, places)]
          .filter((text) => text !== '')
          .join('; '),
    verdict: isMissing ? 'missing' : verdictOf(holds, tooFew),
    cells: { measured: measured.length, wanted: places.length },
  };
}

/**
 * A run that did not converge refutes a claim in favour of its method: its value is infinite, on the wrong side of the bound.
 * One of the other method counts with what it had taken when it was cancelled, where that can be said.
 */
function valuesOf(
  { measure, holdsIf }: RecipeClaim,
  column: Column,
  engine: string,
  runs: readonly Run[],
): number[] {
  const refuting = 'atLeast' in holdsIf ? -Infinity : Infinity;
  const own = runs.filter(({ row }) => row.engine === engine);
  if (measure.kind === 'each-run') {
    // Of all methods it favours none.
    const isRefuted = (run: Run): boolean =>
      measure.engine !== undefined && column.ofAll !== true && isCut(run);
    return own.flatMap((run) => column.value(run) ?? (isRefuted(run) ? [refuting] : []));
  }
  const other = measure.kind === 'ratio' ? measure.to : measure.from;
  return own.flatMap((run) => {
    const beside = runs.find(
      ({ set, row }) =>
        set === run.set && row.engine === other && row.repeat === run.row.repeat && row.vm === run.row.vm,
    );
    if (beside === undefined) return [];
    if (isCut('atLeast' in holdsIf ? beside : run)) return [refuting];
    const [value, base] = [run, beside].map(
      (one) => column.value(one) ?? (isCut(one) ? column.leastOfCut?.(one) : undefined),
    );
    if (value === undefined || base === undefined) return [];
    return [measure.kind === 'ratio' ? value / base : value - base];
  });
}

function isWithin(value: number, bound: RecipeClaim['holdsIf']): boolean {
  if ('atLeast' in bound) return value >= bound.atLeast;
  if ('atMost' in bound) return value <= bound.atMost;
  return value === bound.is;
}

function measureText(measure: Measure, { title }: Column): string {
  if (measure.kind === 'each-run')
    return measure.engine === undefined
      ? `${title}, every run`
      : `${title}, every run of \`${measure.engine}\``;
  return measure.kind === 'ratio'
    ? `${title}, \`${measure.of}\` / \`${measure.to}\` by pairs`
    : `${title}, \`${measure.of}\` − \`${measure.from}\` by pairs`;
}

/** With the unit that a column's title ends with; a ratio has none. */
function unitText(measure: Measure, { title, text }: Column, value: number): string {
  if (measure.kind === 'ratio') return value.toFixed(2);
  const unit = / (?:ms|s|MB)$/.exec(title)?.[0] ?? '';
  return `${text(value)}${unit}`;
}

function boundText({ measure, holdsIf }: RecipeClaim, column: Column): string {
  if ('atLeast' in holdsIf) return `at least ${unitText(measure, column, holdsIf.atLeast)}`;
  if ('atMost' in holdsIf) return `at most ${unitText(measure, column, holdsIf.atMost)}`;
  return unitText(measure, column, holdsIf.is);
}

/** Each cell's median where they are few, else their range; of single runs always the range. */
function measuredText(measure: Measure, column: Column, places: readonly Place[]): string {
  const text = (value: number): string => unitText(measure, column, value);
  const finite = places
    .map(({ name, values }) => ({ name, values: values.filter(Number.isFinite) }))
    .filter(({ values }) => values.length > 0);
  if (finite.length === 0) return '';
  if (measure.kind !== 'each-run' && finite.length <= 3)
    return finite.map(({ name, values }) => `${name}: ${text(median(values))}`).join('; ');
  const all =
    measure.kind === 'each-run'
      ? finite.flatMap(({ values }) => values)
      : finite.map(({ values }) => median(values));
  const [low, high] = [text(Math.min(...all)), text(Math.max(...all))];
  return low === high ? low : `${low} … ${high}`;
}

/** Which runs did not converge, of the methods that are measured; empty where the column is of such runs, too. */
function cutText(measure: Measure, { ofAll }: Column, places: readonly Place[]): string {
  if (ofAll === true) return '';
  const engines: readonly string[] | undefined =
    measure.kind === 'each-run'
      ? measure.engine === undefined
        ? undefined
        : [measure.engine]
      : [measure.of, measure.kind === 'ratio' ? measure.to : measure.from];
  // Where every method is measured, a place stands there once for each.
  const once = places.filter(({ name }, index) => places.findIndex((one) => one.name === name) === index);
  return notConvergedText(
    once.flatMap(({ name, runs }) =>
      [...new Set(runs.map(({ row }) => row.engine))]
        .filter((engine) => engines?.includes(engine) ?? true)
        .map((engine) => ({
          method: `\`${engine}\``,
          place: name,
          runs: runs.filter(({ row }) => row.engine === engine),
        })),
    ),
    'en',
  );
}
