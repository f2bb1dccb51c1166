/** Stacked bars: what a figure is made up of, an engine a bar, memory rows and loads as panels. Pure. */
import type { Cell } from '../record/cells.ts';
import type { Run } from '../record/read-set.ts';
import { mean, standardDeviation } from '../statistics/spread.ts';
import {
  absenceMark,
  absentLayer,
  engineAxis,
  legendFilters,
  legendParam,
  panelCount,
  panelWidth,
  panelsOf,
  sum,
  type Drawing,
  type FigureContext,
  type Spec,
} from './figure.ts';
import type { TextKey } from './text.ts';
import { axisWithLabels, labelLayers, labelRows, spreadLayers } from './bar-layers.ts';
import { inkColour, rampColours } from './theme.ts';

interface Part {
  readonly label: TextKey;
  readonly value: (run: Run) => number | undefined;
  readonly colour?: string;
  /** A run without it has nothing of it; else it was not measured. */
  readonly mayLack?: true;
}

interface StacksOptions {
  readonly parts: readonly Part[];
  readonly axis: TextKey;
  readonly legend: TextKey;
  /** Which cells the figure has a place for; all if left out. */
  readonly shows?: (cell: Cell) => boolean;
}

/** Spread over the ramp. */
function rampColour(index: number, count: number): string {
  return rampColours[Math.round((index * (rampColours.length - 1)) / Math.max(1, count - 1))] ?? inkColour;
}

/** Three digits or more: what is worth reading of a sum. */
function labelOf(value: number): string {
  const digits = value < 100 ? 1 : 0;
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function stacks(context: FigureContext, options: StacksOptions): Drawing {
  const { text, engineTitle } = context;
  const { axis, legend, shows = () => true } = options;
  const cells = context.cells.filter(shows);
  const runs = cells.flatMap((cell) => cell.runs);
  // A part that no run has needs no place in the legend.
  const parts = options.parts.filter(({ value }) => runs.some((run) => value(run) !== undefined));
  const rows = cells.flatMap<Spec>((cell) => {
    const place = {
      scenario: text(`scenario.${cell.scenario}`),
      panel: context.panelTitle(cell.paperRowGib),
      engine: engineTitle(cell.engine),
    };
    // A run that lacks a part which the cell has is no smaller sum: it is in none.
    const own = parts.filter(
      ({ value, mayLack }) => mayLack !== true && cell.runs.some((run) => value(run) !== undefined),
    );
    const whole = cell.runs.filter((run) => own.every(({ value }) => value(run) !== undefined));
    const measured = parts.flatMap(({ label, value }, order) => {
      const values = whole.map(value).filter((figure) => figure !== undefined);
      if (values.length === 0) return [];
      return [{ ...place, kind: 'part', part: text(label), order, value: mean(values), runs: values.length }];
    });
    if (measured.length === 0) return [{ ...place, kind: 'absent', mark: absenceMark(cell, context) }];
    const totals = whole.flatMap((run) => {
      const total = sum(...parts.map(({ value }) => value(run)));
      return total === undefined ? [] : [{ ...place, kind: 'run', run: run.name, value: total }];
    });
    const values = totals.map(({ value }) => value);
    const spread = standardDeviation(values);
    const middle = mean(values);
    // The bar is of the others.
    const cut = cell.runs.filter(
      (run) => run.row.outcome === 'not-converged' && parts.every(({ value }) => value(run) === undefined),
    ).length;
    const label = {
      ...place,
      kind: 'label',
      top: Math.max(middle + (spread ?? 0), ...values),
      label: labelOf(middle),
      cut: cut === 0 ? undefined : `${cut} ${text('mark.not-converged')}`,
    };
    if (spread === undefined) return [...measured, label];
    const [low, high] = [middle - spread, middle + spread];
    return [...measured, label, ...totals, { ...place, kind: 'spread', low, high }];
  });
  const engines = [...new Set(cells.map((cell) => engineTitle(cell.engine)))];
  const width = panelWidth(Math.max(150, engines.length * 52), panelCount(cells));
  const labels = parts.map(({ label }) => text(label));
  // A sum is of all parts.
  const ofAll = context.interactive ? [{ filter: "length(data('shown_part_store')) === 0" }] : [];
  const tops = rows.flatMap((row) => (typeof row['top'] === 'number' ? [row['top']] : []));
  const y = { field: 'value', type: 'quantitative', title: text(axis), ...axisWithLabels(tops) };
  return {
    cells,
    isEmpty: !rows.some(({ kind }) => kind === 'part'),
    notes: [cells.some((cell) => cell.runs.length > 1) ? 'note.stacks' : 'note.one-run'],
    body: {
      data: { values: rows },
      facet: panelsOf(cells, context),
      spec: {
        width,
        height: 140,
        encoding: { x: engineAxis(engines, width) },
        layer: [
          {
            params: legendParam(context, 'part'),
            transform: [{ filter: "datum.kind === 'part'" }, ...legendFilters(context, 'part')],
            mark: { type: 'bar', stroke: 'white', strokeWidth: 0.7 },
            encoding: {
              y: { ...y, stack: 'zero' },
              order: { field: 'order', type: 'quantitative' },
              color: {
                field: 'part',
                title: text(legend),
                scale: {
                  domain: labels,
                  range: parts.map(({ colour }, index) => colour ?? rampColour(index, parts.length)),
                },
                legend: { columns: 3 },
              },
              tooltip: [
                { field: 'scenario', title: text('legend.scenario') },
                { field: 'panel', title: text('legend.memory') },
                { field: 'engine', title: text('legend.engine') },
                { field: 'part', title: text(legend) },
                { field: 'value', title: text(axis), format: ',.3~f' },
                { field: 'runs', title: text('legend.runs') },
              ],
            },
          },
          ...spreadLayers({ y: { ...y, field: 'low' }, y2: { field: 'high' } }, ofAll),
          {
            transform: [{ filter: "datum.kind === 'run'" }, ...ofAll],
            mark: { type: 'point', filled: true, fill: 'white', stroke: inkColour, strokeWidth: 1, size: 18 },
            encoding: {
              y,
              tooltip: [
                { field: 'run', title: text('run.name') },
                { field: 'value', title: text(axis), format: ',.3~f' },
              ],
            },
          },
          ...labelLayers({ y: { ...y, field: 'top' }, text: { field: 'label' } }, ofAll),
          ...labelLayers(
            { y: { ...y, field: 'top' }, text: { field: 'cut' } },
            [{ filter: 'isValid(datum.cut)' }, ...ofAll],
            labelRows[1],
          ),
          absentLayer,
        ],
      },
    },
  };
}
