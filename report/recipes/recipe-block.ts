/** The block of one recipe in docs/results.md: question, command, conditions, tables, claims, figures. Pure. */
import { counted, gibibytes } from '../../foundation/quantity.ts';
import type { Recipe, RecipeTable } from '../../experiments/recipe.ts';
import { recipeClaimsMarkdown } from '../claims/claims-table.ts';
import { figures } from '../figures/all.ts';
import { contextOf, titleOf } from '../figures/figure.ts';
import { describeDifferences, differencesAmong } from '../record/conditions.ts';
import { convergedInPart, firstVmsOf } from '../record/cells.ts';
import { steadyShare } from '../record/made-unlike.ts';
import type { Run } from '../record/read-set.ts';
import { qemuText, serverText } from '../record/software.ts';
import { markdownTable } from '../render/markdown-table.ts';
import { columnOf, medianText } from './columns.ts';
import { judgedClaims } from './judge.ts';
import type { RecipeSet } from './recipe-set.ts';

/** Where its pictures lie, from docs/. */
export const picturesOf = ({ name }: Pick<Recipe, 'name'>): string => `figures/${name}`;

/** Question and command: all that there is to say without runs. */
function headOf({ title, question, name }: Recipe): string[] {
  return [`## ${title}`, '', question, '', `    npm run reproduce -- ${name}`, ''];
}

/** @returns lines */
export function blockWithoutRuns(recipe: Recipe): string[] {
  return [...headOf(recipe), 'No set is recorded.'];
}

/**
 * @param folders of the sets, from the root of the checkout
 * @returns lines
 */
export function recipeBlock(
  recipeSet: RecipeSet,
  folders: readonly string[],
  section: readonly string[] = [],
): string[] {
  const { recipe, set, parts, wanted } = recipeSet;
  const { runs } = set;
  const count = firstVmsOf(runs).length;
  const failed = firstVmsOf(parts.flatMap((part) => part.failed)).map(({ name }) => `\`${name}\``);
  const differences = parts.flatMap((part) => differencesAmong(part.runs));
  const context = contextOf(set, 'en', false);
  const shown = figures.filter(({ name }) => recipe.figures.includes(name));
  return [
    ...headOf(recipe),
    `${count === wanted ? counted(wanted, 'run') : `**${count} of ${wanted} runs**`}, ${daysOf(runs)}, ` +
      `in ${folders.map((folder) => `\`${folder}\``).join(', ')}; ${madeOn(runs)}`,
    '',
    ...(differences.length === 0
      ? []
      : ['**Conditions differ among these runs:**', '', '```', describeDifferences(differences), '```', '']),
    ...(failed.length === 0
      ? []
      : [`**Failed**, and only in claims of lost commits and differing pages: ${failed.join(', ')}.`, '']),
    ...recipe.tables.flatMap((table) => [`${table.caption}:`, '', tableOf(recipe, table, parts)]),
    recipeClaimsMarkdown(judgedClaims(recipeSet)),
    ...section,
    ...shown.flatMap((figure) => [
      `![${titleOf(figure, context)}](${picturesOf(recipe)}/${figure.name}.png)`,
      '',
    ]),
  ];
}

/** Cells of which there is no run are left out: how many are missing stands above. */
function tableOf({ scenarios, engines }: Recipe, table: RecipeTable, parts: RecipeSet['parts']): string {
  const columns = table.columns.map(columnOf);
  const lines = parts.flatMap(({ title, mems, runs }) =>
    mems.flatMap((mem) =>
      scenarios.flatMap((scenario) =>
        engines.flatMap((engine) => {
          const ofCell = runs.filter(
            ({ row }) =>
              row.scenario === scenario && row.paper_row_gib === Number(mem) && row.engine === engine,
          );
          if (ofCell.length === 0) return [];
          const part = convergedInPart({ runs: ofCell });
          const converged =
            part === undefined ? ofCell : ofCell.filter(({ row }) => row.outcome !== 'not-converged');
          const numbersOfCell = columns.map((column) => {
            const shown = column.ofAll === true ? ofCell : converged;
            const values = shown.flatMap((run) => column.value(run) ?? []);
            const remark = values.length === shown.length ? '' : (column.remark?.(shown) ?? '');
            return [medianText(column, values), remark].filter((text) => text !== '').join('; ');
          });
          const convergedText =
            part === undefined
              ? String(firstVmsOf(ofCell).length)
              : `${part.converged} of ${part.runs} converged`;
          return [[title, mem, scenario, `\`${engine}\``, convergedText, ...numbersOfCell]];
        }),
      ),
    ),
  );
  const head = ['condition', 'row', 'load', 'method', 'runs', ...columns.map(({ title }) => title)];
  // A column that was not measured in any of the runs would say nothing, and one condition needs no column.
  const kept = head.map((_, index) => (index > 0 && index < 5) || lines.some((line) => line[index] !== ''));
  return markdownTable([head, ...lines].map((line) => line.filter((_, index) => kept[index])));
}

const each = (values: readonly string[]): string => [...new Set(values)].sort().join(', ');

const daysOf = (runs: readonly Run[]): string =>
  each(runs.map(({ row }) => (row.started_at ?? '').slice(0, 10)));

/** Machine, software and commit; how fast the machine emulated shows in the boot of its guest. */
function madeOn(runs: readonly Run[]): string {
  const of = (value: (run: Run) => string): string => each(runs.map(value));
  const commits = of(
    ({ manifest: { revision } }) =>
      `${revision.commit?.slice(0, 7) ?? '?'}${revision.dirty ? ' (modified)' : ''}`,
  );
  const machine = of(
    ({ manifest: { machine } }) =>
      `${machine.cores} cores (${machine.cpuModel.trim()}), ${gibibytes(machine.memoryBytes, 0)}, ${machine.distribution}`,
  );
  const software = of((run) => `${qemuText(run)}, ${serverText(run)}`);
  const boots = runs.flatMap(({ events }) =>
    events.flatMap((event) =>
      event.event === 'step-ended' && event.step === 'boot the source VM' ? event.duration_ms / 1000 : [],
    ),
  );
  return `commit ${commits}; ${machine}; ${software}${bootText(boots)}.`;
}

function bootText(boots: readonly number[]): string {
  if (boots.length === 0) return '';
  const [fastest, slowest] = [Math.min(...boots), Math.max(...boots)];
  const [low, high] = [fastest.toFixed(0), slowest.toFixed(0)];
  const uneven =
    slowest > steadyShare * fastest
      ? ': the machine was not equally fast, **compare what ran side by side only**'
      : '';
  return `; boot in ${low === high ? low : `${low} to ${high}`} s${uneven}`;
}
