/** How slow transactions were before, during and after the migration. Pure. */
import { typicalRun } from '../record/cells.ts';
import type { Run } from '../record/read-set.ts';
import { quantile } from '../statistics/spread.ts';
import {
  absenceMark,
  legendFilters,
  legendParam,
  panelCount,
  panelWidth,
  panelsOf,
  type Drawing,
  type FigureContext,
  type Spec,
} from './figure.ts';
import type { TextKey } from './text.ts';
import { engineLook, inkColour } from './theme.ts';

const spans = ['before', 'during', 'after'] as const;
type Span = (typeof spans)[number];

/** What a bar, its tick and its circle stand for. */
interface Spread {
  readonly low: number;
  readonly middle: number;
  readonly high: number;
  readonly worst?: number;
}

/** Of all transactions of a span: p50 to p99, with p95; undefined of runs that were recorded without. */
function percentilesOf({ row }: Run, span: Span): Spread | undefined {
  const [low, middle, high] = [
    row[`latency_p50_${span}_ms`],
    row[`latency_p95_${span}_ms`],
    row[`latency_p99_${span}_ms`],
  ];
  return low === undefined || middle === undefined || high === undefined ? undefined : { low, middle, high };
}

/** Of the seconds of a span, by each second's p95. A second in which nothing ended has none, and reads as 0: left out. */
function secondsOf({ row, series }: Run, span: Span): Spread | undefined {
  const endMs = row.total_time_ms ?? Number.POSITIVE_INFINITY;
  const [fromMs, toMs] = {
    before: [Number.NEGATIVE_INFINITY, 0],
    during: [0, endMs],
    after: [endMs, Number.POSITIVE_INFINITY],
  }[span] as [number, number];
  const values = (series.get('client latency_p95_ms') ?? [])
    // sysbench reports a second at its end; its middle decides where it belongs.
    .filter(({ tMs, value }) => value > 0 && tMs - 500 >= fromMs && tMs - 500 < toMs)
    .map(({ value }) => value);
  if (values.length === 0) return undefined;
  const [low, middle, high] = [0.1, 0.5, 0.9].map((share) => quantile(values, share)) as [
    number,
    number,
    number,
  ];
  return { low, middle, high, worst: Math.max(...values) };
}

const secondsTitles = [
  ['low', 'latency.p10'],
  ['middle', 'latency.median'],
  ['high', 'latency.p90'],
  ['worst', 'latency.worst'],
] as const satisfies readonly (readonly [keyof Spread, TextKey])[];
const percentileTitles = [
  ['low', 'latency.p50'],
  ['middle', 'latency.p95'],
  ['high', 'latency.p99'],
] as const satisfies readonly (readonly [keyof Spread, TextKey])[];

export function latency(context: FigureContext): Drawing {
  const { text, engineTitle } = context;
  const drawn = context.cells
    .filter(({ scenario }) => scenario !== 'idle')
    .map((cell) => ({ cell, run: typicalRun(cell) }));
  // All in one way: sets of before there were histograms have each second's p95 only.
  const hasPercentiles = drawn.every(
    ({ run }) => run === undefined || percentilesOf(run, 'before') !== undefined,
  );
  const spreadOf = hasPercentiles ? percentilesOf : secondsOf;
  const titles = hasPercentiles ? percentileTitles : secondsTitles;
  const rows = drawn.flatMap<Spec>(({ cell, run }) => {
    const place = {
      scenario: text(`scenario.${cell.scenario}`),
      panel: context.panelTitle(cell.paperRowGib),
      engine: engineTitle(cell.engine),
    };
    const measured = spans.flatMap((span) => {
      const spread = run && spreadOf(run, span);
      return spread === undefined ? [] : [{ ...place, kind: 'span', span: text(`span.${span}`), ...spread }];
    });
    return measured.length > 0
      ? measured
      : [{ ...place, kind: 'absent', span: text('span.during'), mark: absenceMark(cell, context) }];
  });
  const engines = context.engines.map((engine) => engineTitle(engine));
  const axis = {
    type: 'quantitative',
    title: text(hasPercentiles ? 'axis.latency-any' : 'axis.latency'),
    scale: { type: 'log', nice: false, padding: 12 },
  };
  const colour = {
    field: 'engine',
    title: text('legend.engine'),
    scale: { domain: engines, range: context.engines.map((engine) => engineLook(engine).colour) },
  };
  const spanRows = [{ filter: "datum.kind === 'span'" }, ...legendFilters(context, 'engine')];
  const tooltip = [
    { field: 'engine', title: text('legend.engine') },
    { field: 'span', title: text('legend.span') },
    ...titles.map(([field, title]) => ({ field, title: text(title), format: ',.0f' })),
  ];
  return {
    isEmpty: !rows.some(({ kind }) => kind === 'span'),
    cells: drawn.map(({ cell }) => cell),
    runs: drawn.flatMap(({ run }) => run ?? []),
    notes: ['note.typical', hasPercentiles ? 'note.percentiles' : 'note.latency'],
    body: {
      data: { values: rows },
      facet: panelsOf(
        drawn.map(({ cell }) => cell),
        context,
      ),
      spec: {
        width: panelWidth(
          Math.max(200, spans.length * engines.length * 22),
          panelCount(drawn.map(({ cell }) => cell)),
        ),
        height: 160,
        encoding: {
          x: {
            field: 'span',
            type: 'nominal',
            title: null,
            sort: spans.map((span) => text(`span.${span}`)),
            axis: { labelAngle: 0 },
          },
          xOffset: { field: 'engine', sort: engines, scale: { domain: engines, paddingInner: 0.35 } },
        },
        layer: [
          {
            params: legendParam(context, 'engine'),
            transform: spanRows,
            mark: { type: 'bar', stroke: inkColour, strokeWidth: 0.5 },
            encoding: { y: { field: 'low', ...axis }, y2: { field: 'high' }, color: colour, tooltip },
          },
          {
            transform: spanRows,
            mark: { type: 'tick', color: 'white', stroke: inkColour, strokeWidth: 0.5, thickness: 3 },
            encoding: { y: { field: 'middle', ...axis }, tooltip },
          },
          {
            transform: [...spanRows, { filter: 'isValid(datum.worst)' }],
            mark: { type: 'point', filled: true, fill: 'white', stroke: inkColour, size: 26, strokeWidth: 1 },
            encoding: { y: { field: 'worst', ...axis }, tooltip },
          },
          {
            transform: [{ filter: "datum.kind === 'absent'" }],
            mark: { type: 'text', fontSize: 11, color: '#777777' },
            encoding: { y: { value: 152 }, text: { field: 'mark' } },
          },
        ],
      },
    },
  };
}
