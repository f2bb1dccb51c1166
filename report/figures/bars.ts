/** Bars of one figure of merit: memory rows along the axis, engines side by side, loads as panels. Pure. */
import { valuesOf } from '../record/cells.ts';
import { memorySizesGib } from '../record/cells.ts';
import type { RunRow } from '../record/run-row.ts';
import { mean, standardDeviation } from '../statistics/spread.ts';
import { scenarioNames } from '../../experiments/scenarios.ts';
import { absenceMark, type Drawing, type FigureContext, type Spec } from './figure.ts';
import type { TextKey } from './text.ts';
import { engineLook, inkColour } from './theme.ts';

export interface BarsOptions {
  readonly value: (row: RunRow) => number | undefined;
  readonly axis: TextKey;
  readonly notes?: readonly TextKey[];
  /** Values to compare with, as dashed rules. */
  readonly rules?: readonly number[];
}

export function bars(context: FigureContext, { value, axis, notes = [], rules = [] }: BarsOptions): Drawing {
  const { cells, text, engineTitle } = context;
  const rows = cells.flatMap<Spec>((cell) => {
    const values = valuesOf(cell, value);
    const place = {
      scenario: text(`scenario.${cell.scenario}`),
      memory: cell.memGib,
      engine: engineTitle(cell.engine),
    };
    if (values.length === 0) return [{ ...place, kind: 'absent', mark: absenceMark(cell, context) }];
    const middle = mean(values);
    const spread = standardDeviation(values);
    const points = cell.runs.map(({ name, row }) => ({
      ...place,
      kind: 'run',
      run: name,
      value: value(row),
    }));
    return [
      { ...place, kind: 'mean', value: middle, runs: values.length },
      ...(spread === undefined
        ? []
        : [{ ...place, kind: 'spread', low: middle - spread, high: middle + spread }]),
      ...(values.length > 1 ? points.filter((point) => point.value !== undefined) : []),
    ];
  });
  const engines = context.engines.map((engine) => engineTitle(engine));
  const scenarios = scenarioNames.map((name) => text(`scenario.${name}`));
  const y = (field: string): Spec => ({
    field,
    type: 'quantitative',
    title: text(axis),
    scale: { zero: true },
  });
  const tooltip = [
    { field: 'scenario', title: text('legend.scenario') },
    { field: 'memory', title: text('legend.memory') },
    { field: 'engine', title: text('legend.engine') },
    { field: 'value', title: text(axis), format: ',.3~f' },
  ];
  return {
    cells,
    notes: ['note.bars', ...notes],
    body: {
      data: { values: rows },
      facet: { column: { field: 'scenario', sort: scenarios, title: null } },
      spec: {
        width: 250,
        height: 220,
        encoding: {
          x: {
            field: 'memory',
            type: 'ordinal',
            title: text('axis.memory'),
            scale: { domain: memorySizesGib, paddingInner: 0.25 },
            axis: { labelAngle: 0 },
          },
          xOffset: { field: 'engine', sort: engines, scale: { domain: engines } },
        },
        layer: [
          ...rules.map((rule) => ({
            mark: { type: 'rule', strokeDash: [5, 3], color: inkColour, opacity: 0.6 },
            encoding: { x: null, xOffset: null, y: { datum: rule } },
          })),
          {
            transform: [{ filter: "datum.kind === 'mean'" }],
            mark: { type: 'bar', stroke: inkColour, strokeWidth: 0.5 },
            encoding: {
              y: y('value'),
              color: {
                field: 'engine',
                title: text('legend.engine'),
                sort: engines,
                scale: { domain: engines, range: context.engines.map((engine) => engineLook(engine).colour) },
              },
              tooltip: [...tooltip, { field: 'runs', title: 'n' }],
            },
          },
          {
            transform: [{ filter: "datum.kind === 'spread'" }],
            mark: { type: 'rule', color: inkColour, strokeWidth: 1.5 },
            encoding: { y: y('low'), y2: { field: 'high' } },
          },
          {
            transform: [{ filter: "datum.kind === 'run'" }],
            mark: { type: 'point', filled: true, fill: 'white', stroke: inkColour, strokeWidth: 1, size: 22 },
            encoding: { y: y('value'), tooltip: [...tooltip, { field: 'run' }] },
          },
          {
            transform: [{ filter: "datum.kind === 'absent'" }],
            mark: { type: 'text', baseline: 'bottom', dy: -2, fontSize: 11, color: '#777777' },
            encoding: { y: { datum: 0 }, text: { field: 'mark' } },
          },
        ],
      },
    },
  };
}
