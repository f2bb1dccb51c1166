/** Marks on a line rather than bars: several figures of a cell side by side, or ratios. Pure. */
import { paperRowsGib } from '../../experiments/paper-rows.ts';
import { paperRowsGibOf, scenariosOf, valuesOf } from '../record/cells.ts';
import { bothLinksBytes, ofMigrated, tpsRecoveryMsOf, type RunRow } from '../record/run-row.ts';
import { mean, quantile } from '../statistics/spread.ts';
import {
  absenceMark,
  absentLayer,
  axisOfNothing,
  engineAxis,
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
import { inkColour, rampColours } from './theme.ts';

type Value = (row: RunRow) => number | undefined;

const ways: readonly (readonly [label: TextKey, value: Value, shape: string])[] = [
  ['way.client', (row) => row.downtime_client_ms, 'circle'],
  ['way.heartbeat', (row) => row.downtime_heartbeat_ms, 'square'],
  ['way.stop-resume', (row) => row.downtime_stop_resume_ms, 'triangle-up'],
  ['way.qemu', (row) => row.downtime_qemu_ms, 'cross'],
];
const wayColours = [rampColours[0], rampColours[2], rampColours[3], rampColours[4]];

const spreadAxis: Spec = {
  scale: { type: 'symlog', constant: 100, domainMin: 0 },
  axis: { values: [0, 100, 300, 1e3, 3e3, 1e4, 3e4, 1e5, 1e6], labelOverlap: 'greedy', tickCount: 20 },
};

/** Every run's downtime, as client, QEMU events and QEMU itself saw it. */
export function downtimeWays(context: FigureContext): Drawing {
  const { text, engineTitle, cells } = context;
  const rows = cells.flatMap<Spec>((cell) => {
    const place = {
      scenario: text(`scenario.${cell.scenario}`),
      panel: context.panelTitle(cell.paperRowGib),
      engine: engineTitle(cell.engine),
    };
    const points = cell.runs.flatMap(({ name, row }) =>
      ways.flatMap(([label, value]) => {
        const downtime = value(row);
        return downtime === undefined
          ? []
          : [{ ...place, kind: 'run', way: text(label), run: name, value: downtime }];
      }),
    );
    return points.length > 0 ? points : [{ ...place, kind: 'absent', mark: absenceMark(cell, context) }];
  });
  const labels = ways.map(([label]) => text(label));
  // One that clients waited long for must not press all others to the ground.
  const values = rows.flatMap((row) => (typeof row['value'] === 'number' ? [row['value']] : []));
  const isSpread = values.length > 0 && Math.max(...values) > 10 * quantile(values, 0.5);
  const engines = context.engines.map((engine) => engineTitle(engine));
  const width = panelWidth(Math.max(170, engines.length * 52), panelCount(cells));
  // One panel alone is narrower than a row of four.
  const legend = {
    field: 'way',
    title: text('legend.way'),
    legend: { columns: panelCount(cells) === 1 ? 2 : 4 },
  };
  return {
    cells,
    isEmpty: values.length === 0,
    notes: ['note.downtime-ways', ...(isSpread ? (['note.symlog'] as const) : [])],
    body: {
      data: { values: rows },
      facet: panelsOf(cells, context),
      spec: {
        width,
        height: 120,
        encoding: { x: engineAxis(engines, width) },
        layer: [
          {
            params: legendParam(context, 'way'),
            transform: [{ filter: "datum.kind === 'run'" }, ...legendFilters(context, 'way')],
            mark: { type: 'point', size: 45, strokeWidth: 1.6, opacity: 1 },
            encoding: {
              xOffset: { field: 'way', sort: labels, scale: { domain: labels } },
              y: {
                field: 'value',
                type: 'quantitative',
                title: text('axis.downtime-any'),
                ...(axisOfNothing(values) ?? (isSpread ? spreadAxis : { scale: { zero: true } })),
              },
              color: { ...legend, scale: { domain: labels, range: wayColours } },
              shape: { ...legend, scale: { domain: labels, range: ways.map(([, , shape]) => shape) } },
              tooltip: [
                { field: 'run', title: text('run.name') },
                { field: 'way', title: text('legend.way') },
                { field: 'value', title: text('axis.downtime-any'), format: ',.1f' },
              ],
            },
          },
          absentLayer,
        ],
      },
    },
  };
}

const metrics: readonly (readonly [label: TextKey, value: Value])[] = [
  ['metric.total-time', (row) => row.total_time_ms],
  ['metric.downtime', (row) => row.downtime_stop_resume_ms],
  ['metric.migration-bytes', (row) => ofMigrated(row, row.migration_link_bytes)],
  ['metric.all-bytes', (row) => ofMigrated(row, bothLinksBytes(row))],
  ['metric.recovery', tpsRecoveryMsOf],
];
const scenarioShapes = { idle: 'circle', ro: 'square', rw: 'triangle-up', tpcc: 'diamond' } as const;
const sizeColours = [rampColours[5], rampColours[3], rampColours[2], rampColours[0]];

/** What is less, as a link that only a few messages crossed, would press all others together. */
const leastRatio = 0.001;

/** Each engine's figures divided by pre-copy's of the same load and memory. */
export function enginesCompared(context: FigureContext): Drawing {
  const { text, engineTitle } = context;
  const others = context.engines.filter((engine) => engine !== 'precopy');
  const cells = context.cells.filter(({ engine }) => engine !== 'precopy');
  const sizes = paperRowsGibOf(context.cells);
  const loads = scenariosOf(context.cells);
  const baselineOf = (scenario: string, paperRowGib: number) =>
    context.cells.find(
      (cell) => cell.engine === 'precopy' && cell.scenario === scenario && cell.paperRowGib === paperRowGib,
    );
  const rows = cells.flatMap((cell) => {
    const baseline = baselineOf(cell.scenario, cell.paperRowGib);
    if (baseline === undefined) return [];
    return metrics.flatMap(([label, value]) => {
      const before = valuesOf(baseline, value);
      const after = valuesOf(cell, value);
      const ratio = mean(after) / mean(before);
      // A figure of zero (throughput that never fell), or next to it, has no place on a logarithmic axis.
      if (!(ratio >= leastRatio && Number.isFinite(ratio))) return [];
      const each = after.map((value) => value / mean(before)).filter((one) => one > 0);
      const place = {
        metric: text(label),
        engine: engineTitle(cell.engine),
        scenario: text(`scenario.${cell.scenario}`),
        memory: cell.paperRowGib,
      };
      return [
        { ...place, kind: 'mean', ratio, low: Math.min(...each), high: Math.max(...each) },
        ...each.map((one) => ({ ...place, kind: 'run', ratio: one })),
      ];
    });
  });
  // One that all have needs no legend.
  const legends = [...(sizes.length > 1 ? ['memory'] : []), ...(loads.length > 1 ? ['scenario'] : [])];
  const filters = legendFilters(context, ...legends);
  const titles = metrics.map(([label]) => text(label));
  return {
    cells: context.cells,
    isEmpty: rows.length === 0,
    notes: ['note.ratio'],
    body: {
      data: { values: rows },
      facet: { column: { field: 'metric', sort: titles, title: null } },
      spec: {
        width: 150,
        height: Math.max(90, others.length * Math.max(28, loads.length * 20)),
        layer: [
          {
            mark: { type: 'rule', color: inkColour, strokeDash: [5, 3] },
            encoding: { x: { datum: 1 } },
          },
          ...runLayers(
            others.map(engineTitle),
            loads.map((name) => text(`scenario.${name}`)),
            text('axis.ratio'),
            filters,
          ),
          {
            params: legends.flatMap((field) => legendParam(context, field)),
            transform: [{ filter: "datum.kind === 'mean'" }, ...filters],
            mark: {
              type: 'point',
              filled: true,
              opacity: 0.9,
              stroke: inkColour,
              strokeWidth: 0.5,
              size: 55,
            },
            encoding: {
              x: {
                field: 'ratio',
                type: 'quantitative',
                title: text('axis.ratio'),
                scale: { type: 'log', nice: false, padding: 36 },
                axis: {
                  values: [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100],
                  format: '~g',
                  labelSeparation: 6,
                },
              },
              y: {
                field: 'engine',
                type: 'nominal',
                title: null,
                scale: { domain: others.map(engineTitle) },
              },
              yOffset: {
                field: 'scenario',
                scale: { domain: loads.map((name) => text(`scenario.${name}`)) },
              },
              color: {
                field: 'memory',
                type: 'ordinal',
                title: text('legend.memory'),
                ...(sizes.length > 1 ? {} : { legend: null }),
                scale: {
                  domain: sizes,
                  range: sizes.map((size) => sizeColours[paperRowsGib.indexOf(size)]),
                },
              },
              shape: {
                field: 'scenario',
                title: text('legend.scenario'),
                ...(loads.length > 1 ? {} : { legend: null }),
                scale: {
                  domain: loads.map((name) => text(`scenario.${name}`)),
                  range: loads.map((name) => scenarioShapes[name]),
                },
              },
              tooltip: [
                { field: 'engine', title: text('legend.engine') },
                { field: 'metric', title: text('legend.metric') },
                { field: 'scenario', title: text('legend.scenario') },
                { field: 'memory', title: text('legend.memory') },
                { field: 'ratio', title: text('axis.ratio'), format: '.3f' },
              ],
            },
          },
          // Marks of several rows are too close to each other for that.
          ...(sizes.length > 1
            ? []
            : ratioLabels(
                others.map(engineTitle),
                loads.map((name) => text(`scenario.${name}`)),
                filters,
              )),
        ],
      },
    },
  };
}

/** Every run over pre-copy's mean, and a line from the least to the greatest. */
function runLayers(
  engines: readonly string[],
  loads: readonly string[],
  title: string,
  filters: readonly Spec[],
): Spec[] {
  const place = {
    y: { field: 'engine', type: 'nominal', scale: { domain: engines } },
    yOffset: { field: 'scenario', scale: { domain: loads } },
  };
  return [
    {
      transform: [{ filter: "datum.kind === 'mean'" }, ...filters],
      mark: { type: 'rule', color: inkColour, strokeWidth: 1 },
      encoding: { ...place, x: { field: 'low', type: 'quantitative', title }, x2: { field: 'high' } },
    },
    {
      transform: [{ filter: "datum.kind === 'run'" }, ...filters],
      mark: { type: 'tick', color: inkColour, thickness: 1, size: 9 },
      encoding: { ...place, x: { field: 'ratio', type: 'quantitative', title } },
    },
  ];
}

/** Beside all runs, whose ticks would cross a label, and on the side away from pre-copy's line. */
function ratioLabels(engines: readonly string[], loads: readonly string[], filters: readonly Spec[]): Spec[] {
  const sides = [
    { side: 'datum.ratio < 1', field: 'low', look: { align: 'right', dx: -7 } },
    { side: 'datum.ratio >= 1', field: 'high', look: { align: 'left', dx: 7 } },
  ];
  return [{ stroke: 'white', strokeWidth: 3 }, {}].flatMap((edge) =>
    sides.map(({ side, field, look }) => ({
      transform: [{ filter: "datum.kind === 'mean'" }, { filter: side }, ...filters],
      mark: { type: 'text', fontSize: 9, color: inkColour, ...look, ...edge },
      encoding: {
        x: { field, type: 'quantitative' },
        y: { field: 'engine', type: 'nominal', scale: { domain: engines } },
        yOffset: { field: 'scenario', scale: { domain: loads } },
        text: { field: 'ratio', format: '.2f' },
      },
    })),
  );
}
