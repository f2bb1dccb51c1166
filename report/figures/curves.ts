/** Lines over the time of the migration, a panel for each memory row. Pure. */
import { paperRowsGib } from '../../experiments/paper-rows.ts';
import { paperRowsGibOf, typicalRun, type Cell } from '../record/cells.ts';
import type { Run } from '../record/read-set.ts';
import type { Point } from '../../record/series.ts';
import {
  absenceMark,
  axisOfNothing,
  legendFilters,
  legendParam,
  stretches,
  type Drawing,
  type FigureContext,
  type Spec,
} from './figure.ts';
import type { TextKey } from './text.ts';
import { faintColour, inkColour, type Look } from './theme.ts';

interface Curve {
  readonly label: string;
  readonly points: readonly Point[];
  /** Drawn faint and thin below the others: the values that a mean was taken of. */
  readonly faint?: boolean;
}

interface CurvesOptions {
  readonly shows: (cell: Cell) => boolean;
  readonly curves: (run: Run, cell: Cell) => readonly Curve[];
  readonly axis: TextKey;
  readonly legend: TextKey;
  /** The labels of all curves, in order, with their looks. */
  readonly looks: readonly (readonly [label: string, look: Look])[];
  /** A row of panels for each engine; else the engines share a panel. */
  readonly rowPerEngine?: boolean;
  readonly notes: readonly TextKey[];
  /** Horizontal dotted rules. */
  readonly levels?: (run: Run) => readonly number[];
  /** Straight lines between points, or steps that end at the next point. */
  readonly interpolate: 'linear' | 'step-after';
  readonly height?: number;
}

/** Of all panels together; one alone does not take it all. */
const panelsWidth = 860;
const widestPanel = 640;

export function curves(context: FigureContext, options: CurvesOptions): Drawing {
  const { text, engineTitle } = context;
  const cells = context.cells.filter(options.shows);
  const panels = paperRowsGibOf(cells).length;
  const width = Math.min(widestPanel, Math.round(panelsWidth / Math.max(1, panels)));
  const drawn = cells.map((cell) => ({ cell, run: typicalRun(cell) }));
  const absent = new Map<string, { panel: string; engine: string; kind: 'absent'; mark: string }>();
  const rows = drawn.flatMap(({ cell, run }) => {
    const engine = engineTitle(cell.engine);
    const place = { panel: context.panelTitle(cell.paperRowGib), engine };
    const lines = run === undefined ? [] : options.curves(run, cell);
    if (run === undefined || lines.every(({ points }) => points.length === 0)) {
      const panel = options.rowPerEngine === true ? `${place.panel} ${engine}` : place.panel;
      const before = absent.get(panel);
      const mark = `${engine}: ${absenceMark(cell, context)}`;
      absent.set(panel, {
        ...place,
        kind: 'absent',
        mark: before === undefined ? mark : `${before.mark}\n${mark}`,
      });
      return [];
    }
    const endMs = run.row.total_time_ms;
    const levels = new Set(options.levels?.(run));
    return [
      { ...place, kind: 'begin', t: 0 },
      ...(endMs === undefined ? [] : [{ ...place, kind: 'end', curve: engine, t: endMs / 1000 }]),
      ...[...levels].map((value) => ({ ...place, kind: 'level', value })),
      ...lines.flatMap(({ label, points, faint = false }) =>
        points.map(({ tMs, value }) => ({
          ...place,
          kind: faint ? 'faint' : 'line',
          curve: label,
          t: rounded(tMs / 1000),
          value: rounded(value),
        })),
      ),
    ];
  });
  const labels = options.looks.map(([label]) => label);
  const engines = context.engines.map((engine) => engineTitle(engine));
  const x = {
    field: 't',
    type: 'quantitative',
    title: text('axis.time'),
    scale: { nice: false, zero: false },
  };
  const values = rows.flatMap((row) => ('value' in row ? [row.value] : []));
  const y = { field: 'value', type: 'quantitative', title: text(options.axis), ...axisOfNothing(values) };
  // Long enough to show a dash.
  const legend = { symbolSize: 500, symbolStrokeWidth: 2 };
  const look = {
    color: {
      field: 'curve',
      title: text(options.legend),
      legend,
      scale: {
        domain: labels,
        range: options.looks.map(([, { colour, lineColour = colour }]) => lineColour),
      },
    },
    strokeDash: {
      field: 'curve',
      title: text(options.legend),
      legend,
      scale: {
        domain: labels,
        range: options.looks.map(([, { dash }]) => (dash.length === 0 ? [1, 0] : dash)),
      },
    },
  };
  const filters = legendFilters(context, 'curve');
  const line = { type: 'line', interpolate: options.interpolate, clip: true };
  return {
    cells,
    isEmpty: values.length === 0,
    runs: drawn.flatMap(({ run }) => run ?? []),
    notes: options.notes,
    body: {
      usermeta: stretches,
      data: { values: [...rows, ...absent.values()] },
      facet: {
        column: { field: 'panel', sort: paperRowsGib.map(context.panelTitle), title: null },
        ...(options.rowPerEngine === true ? { row: { field: 'engine', sort: engines, title: null } } : {}),
      },
      spec: {
        width,
        height: options.height ?? 180,
        layer: [
          {
            transform: [{ filter: "datum.kind === 'level'" }],
            mark: { type: 'rule', strokeDash: [1, 3], color: inkColour, clip: true },
            encoding: { y },
          },
          {
            transform: [{ filter: "datum.kind === 'begin'" }],
            mark: { type: 'rule', strokeWidth: 1, color: inkColour, clip: true },
            encoding: { x },
          },
          {
            transform: [
              { filter: "datum.kind === 'end'" },
              ...(options.rowPerEngine === true ? [] : filters),
            ],
            mark: { type: 'rule', strokeWidth: 1, color: faintColour, clip: true },
            // Where engines share a panel, the end of a migration looks like its engine's curve.
            encoding: options.rowPerEngine === true ? { x } : { x, ...look },
          },
          {
            transform: [{ filter: "datum.kind === 'faint'" }, ...filters],
            mark: { ...line, strokeWidth: 0.7, opacity: 0.45 },
            // Dashes of a line this thin would not be told from gaps.
            encoding: { x, y, color: look.color },
          },
          {
            transform: [{ filter: "datum.kind === 'line'" }, ...filters],
            // Zoom with the wheel and Ctrl (the wheel alone scrolls the page), move by dragging, a double click resets.
            params: [
              {
                name: 'zoom',
                select: { type: 'interval', encodings: ['x'], zoom: 'wheel![event.ctrlKey]' },
                bind: 'scales',
              },
              ...legendParam(context, 'curve'),
            ],
            mark: { ...line, strokeWidth: 1.8 },
            encoding: { x, y, ...look },
          },
          ...(context.interactive ? [pointerTargets(context, options, x, y)] : []),
          {
            transform: [{ filter: "datum.kind === 'absent'" }],
            mark: {
              type: 'text',
              fontSize: 10,
              color: '#777777',
              align: 'right',
              dx: -5,
              baseline: 'top',
              lineBreak: '\n',
            },
            encoding: { x: { value: 'width' }, y: { value: 5 }, text: { field: 'mark' } },
          },
        ],
      },
    },
  };
}

/** A line takes the pointer only as a whole; these take it at each of its points. */
function pointerTargets(context: FigureContext, { legend, axis }: CurvesOptions, x: Spec, y: Spec): Spec {
  const { text } = context;
  return {
    transform: [{ filter: "datum.kind === 'line'" }, ...legendFilters(context, 'curve')],
    mark: { type: 'point', filled: true, opacity: 0, size: 90, clip: true },
    encoding: {
      x,
      y,
      detail: { field: 'curve' },
      tooltip: [
        { field: 'engine', title: text('legend.engine') },
        { field: 'panel', title: text('legend.memory') },
        { field: 'curve', title: text(legend) },
        { field: 't', title: text('axis.time'), format: '.2f' },
        { field: 'value', title: text(axis), format: ',.1f' },
      ],
    },
  };
}

const rounded = (value: number): number => Math.round(value * 1000) / 1000;
