/** How slow transactions were before, during and after the migration. Pure. */
import { typicalRun } from '../record/cells.ts';
import type { Run } from '../record/read-set.ts';
import { quantile } from '../statistics/spread.ts';
import { absenceMark, panelsOf, type Drawing, type FigureContext, type Spec } from './figure.ts';
import { engineLook, inkColour } from './theme.ts';

const spans = ['before', 'during', 'after'] as const;

/** p95 latencies of the seconds of each span. A second in which nothing ended has none, and reads as 0: left out. */
function latenciesOf({ row, series }: Run): Readonly<Record<(typeof spans)[number], number[]>> {
  const endMs = row.total_time_ms ?? Number.POSITIVE_INFINITY;
  const seconds = (series.get('client latency_p95_ms') ?? []).filter(({ value }) => value > 0);
  // sysbench reports a second at its end; its middle decides where it belongs.
  const within = (fromMs: number, toMs: number) =>
    seconds.filter(({ tMs }) => tMs - 500 >= fromMs && tMs - 500 < toMs).map(({ value }) => value);
  return {
    before: within(Number.NEGATIVE_INFINITY, 0),
    during: within(0, endMs),
    after: within(endMs, Number.POSITIVE_INFINITY),
  };
}

export function latency(context: FigureContext): Drawing {
  const { text, engineTitle } = context;
  const drawn = context.cells
    .filter(({ scenario }) => scenario !== 'idle')
    .map((cell) => ({ cell, run: typicalRun(cell) }));
  const rows = drawn.flatMap<Spec>(({ cell, run }) => {
    const place = {
      scenario: text(`scenario.${cell.scenario}`),
      panel: context.panelTitle(cell.paperRowGib),
      engine: engineTitle(cell.engine),
    };
    const latencies = run === undefined ? undefined : latenciesOf(run);
    const measured = spans.flatMap((span) => {
      const values = latencies?.[span] ?? [];
      if (values.length === 0) return [];
      const [p10, median, p90] = [0.1, 0.5, 0.9].map((share) => quantile(values, share));
      return [
        { ...place, kind: 'span', span: text(`span.${span}`), p10, median, p90, worst: Math.max(...values) },
      ];
    });
    return measured.length > 0
      ? measured
      : [{ ...place, kind: 'absent', span: text('span.during'), mark: absenceMark(cell, context) }];
  });
  const engines = context.engines.map((engine) => engineTitle(engine));
  const axis = {
    type: 'quantitative',
    title: text('axis.latency'),
    scale: { type: 'log', nice: false, padding: 12 },
  };
  const colour = {
    field: 'engine',
    title: text('legend.engine'),
    scale: { domain: engines, range: context.engines.map((engine) => engineLook(engine).colour) },
  };
  const spanRows = [{ filter: "datum.kind === 'span'" }];
  const tooltip = [
    { field: 'engine', title: text('legend.engine') },
    { field: 'span', title: text('legend.span') },
    ...(['p10', 'median', 'p90', 'worst'] as const).map((field) => ({
      field,
      title: text(`latency.${field}`),
      format: ',.0f',
    })),
  ];
  return {
    cells: drawn.map(({ cell }) => cell),
    runs: drawn.flatMap(({ run }) => run ?? []),
    notes: ['note.typical', 'note.latency'],
    body: {
      data: { values: rows },
      facet: panelsOf(
        drawn.map(({ cell }) => cell),
        context,
      ),
      spec: {
        width: Math.max(200, spans.length * engines.length * 22),
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
            transform: spanRows,
            mark: { type: 'bar', stroke: inkColour, strokeWidth: 0.5 },
            encoding: { y: { field: 'p10', ...axis }, y2: { field: 'p90' }, color: colour, tooltip },
          },
          {
            transform: spanRows,
            mark: { type: 'tick', color: 'white', stroke: inkColour, strokeWidth: 0.5, thickness: 3 },
            encoding: { y: { field: 'median', ...axis }, tooltip },
          },
          {
            transform: spanRows,
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
