/** Bars of one figure of merit: memory rows along the axis, engines side by side, loads as panels. Pure. */
import { paperRowsGibOf, scenariosOf, valuesOf, type Cell } from '../record/cells.ts';
import type { RunRow } from '../record/run-row.ts';
import { mean, standardDeviation } from '../statistics/spread.ts';
import { axisWithLabels, labelLayers, labelRows, spreadLayers } from './bar-layers.ts';
import {
  absenceMark,
  absentLayer,
  engineAxis,
  legendFilters,
  legendParam,
  panelWidth,
  type Drawing,
  type FigureContext,
  type Spec,
} from './figure.ts';
import type { TextKey } from './text.ts';
import { engineLook, inkColour } from './theme.ts';

interface BarsOptions {
  readonly value: (row: RunRow) => number | undefined;
  readonly axis: TextKey;
  readonly notes?: readonly TextKey[];
  /** Values to compare with, as dashed rules. */
  readonly rules?: readonly number[];
  /** Where the paper's value would be, as a dashed frame around the cell's bar. */
  readonly paper?: (cell: Cell) => { readonly low: number; readonly high: number } | undefined;
}

/** Of all panels together, between bounds for one bar. */
const panelsWidth = 860;
const [narrowestBar, widestBar] = [11, 56];
/** Narrower bars have no room for their figure. */
const labelledBar = 26;

/** Three digits: what is worth reading of a bar. */
function labelOf(value: number): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function bars(
  context: FigureContext,
  { value, axis, notes = [], rules = [], paper = () => undefined }: BarsOptions,
): Drawing {
  const { cells, text, engineTitle } = context;
  const rows = cells.flatMap<Spec>((cell) => {
    const values = valuesOf(cell, value);
    const place = {
      scenario: text(`scenario.${cell.scenario}`),
      memory: cell.paperRowGib,
      engine: engineTitle(cell.engine),
    };
    if (values.length === 0) return [{ ...place, kind: 'absent', mark: absenceMark(cell, context) }];
    const middle = mean(values);
    const spread = standardDeviation(values);
    const ofPaper = paper(cell);
    // The bar is of the others.
    const cut = cell.runs.filter(
      ({ row }) => row.outcome === 'not-converged' && value(row) === undefined,
    ).length;
    const points = cell.runs.map(({ name, row }) => ({
      ...place,
      kind: 'run',
      run: name,
      value: value(row),
    }));
    return [
      { ...place, kind: 'mean', value: middle, runs: values.length },
      ...(ofPaper === undefined ? [] : [{ ...place, kind: 'paper', ...ofPaper, top: ofPaper.high }]),
      {
        ...place,
        kind: 'label',
        top: Math.max(middle + (spread ?? 0), ...values),
        label: labelOf(middle),
        cut: cut === 0 ? undefined : `${cut} ${text('mark.not-converged')}`,
      },
      ...(spread === undefined
        ? []
        : [{ ...place, kind: 'spread', low: middle - spread, high: middle + spread }]),
      ...(values.length > 1 ? points.filter((point) => point.value !== undefined) : []),
    ];
  });
  const engines = context.engines.map((engine) => engineTitle(engine));
  const scenarios = scenariosOf(cells).map((name) => text(`scenario.${name}`));
  const sizes = paperRowsGibOf(cells);
  const isOneRow = sizes.length === 1;
  const memoryAxes = {
    x: {
      field: 'memory',
      type: 'ordinal',
      title: text('axis.memory'),
      scale: { domain: sizes, paddingInner: 0.25 },
      axis: { labelAngle: 0 },
    },
    xOffset: { field: 'engine', sort: engines, scale: { domain: engines } },
  };
  const barWidth = Math.min(
    widestBar,
    Math.max(narrowestBar, panelsWidth / (scenarios.length * sizes.length * (engines.length + 0.5))),
  );
  const width = panelWidth(Math.max(130, barWidth * (engines.length + 0.5) * sizes.length), scenarios.length);
  // Where each bar has its name below, there is no legend.
  const filters = isOneRow ? [] : legendFilters(context, 'engine');
  const tops = rows.flatMap((row) => (typeof row['top'] === 'number' ? [row['top']] : []));
  const y = (field: string): Spec => ({
    field,
    type: 'quantitative',
    title: text(axis),
    ...axisWithLabels([...tops, ...rules]),
  });
  const tooltip = [
    { field: 'scenario', title: text('legend.scenario') },
    { field: 'memory', title: text('legend.memory') },
    { field: 'engine', title: text('legend.engine') },
    { field: 'value', title: text(axis), format: ',.3~f' },
  ];
  return {
    cells,
    isEmpty: !rows.some(({ kind }) => kind === 'mean'),
    notes: [
      cells.some(({ runs }) => runs.length > 1) ? 'note.bars' : 'note.one-run',
      ...(rows.some(({ kind }) => kind === 'paper') ? (['note.paper-speed-up'] as const) : []),
      ...notes,
    ],
    body: {
      data: { values: rows },
      facet: { column: { field: 'scenario', sort: scenarios, title: null } },
      spec: {
        width,
        height: 220,
        // With one memory row, bars are named by their engine.
        encoding: isOneRow
          ? {
              x: {
                ...engineAxis(engines, width, context.panelTitle(sizes[0] ?? 0)),
                scale: { domain: engines, paddingInner: 0.15, paddingOuter: 0.3 },
              },
            }
          : memoryAxes,
        layer: [
          ...rules.map((rule) => ({
            mark: { type: 'rule', strokeDash: [5, 3], color: inkColour, opacity: 0.6 },
            encoding: { x: null, ...(isOneRow ? {} : { xOffset: null }), y: { datum: rule } },
          })),
          {
            ...(isOneRow ? {} : { params: legendParam(context, 'engine') }),
            transform: [{ filter: "datum.kind === 'mean'" }, ...filters],
            mark: { type: 'bar', stroke: inkColour, strokeWidth: 0.5 },
            encoding: {
              y: y('value'),
              color: {
                field: 'engine',
                title: text('legend.engine'),
                sort: engines,
                scale: { domain: engines, range: context.engines.map((engine) => engineLook(engine).colour) },
                ...(isOneRow ? { legend: null } : {}),
              },
              tooltip: [...tooltip, { field: 'runs', title: text('legend.runs') }],
            },
          },
          {
            transform: [{ filter: "datum.kind === 'paper'" }, ...filters],
            mark: { type: 'bar', fillOpacity: 0, stroke: inkColour, strokeWidth: 1, strokeDash: [3, 2] },
            encoding: { y: y('low'), y2: { field: 'high' } },
          },
          ...spreadLayers({ y: y('low'), y2: { field: 'high' } }, filters),
          {
            transform: [{ filter: "datum.kind === 'run'" }, ...filters],
            mark: { type: 'point', filled: true, fill: 'white', stroke: inkColour, strokeWidth: 1, size: 22 },
            encoding: { y: y('value'), tooltip: [...tooltip, { field: 'run', title: text('run.name') }] },
          },
          ...(barWidth < labelledBar ? [] : labelLayers({ y: y('top'), text: { field: 'label' } }, filters)),
          ...labelLayers(
            { y: y('top'), text: { field: 'cut' } },
            [{ filter: 'isValid(datum.cut)' }, ...filters],
            labelRows[barWidth < labelledBar ? 0 : 1],
          ),
          absentLayer,
        ],
      },
    },
  };
}
