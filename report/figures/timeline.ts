/** The phases of one run of each engine, in the most interesting row that there is. Pure. */
import { seconds } from '../../foundation/quantity.ts';
import { paperRowsGib } from '../../experiments/paper-rows.ts';
import { typicalRun } from '../record/cells.ts';
import { scenarioNames } from '../../experiments/scenarios.ts';
import { phaseNames, phasesOf } from '../record/phases.ts';
import type { Run } from '../record/read-set.ts';
import { axisOfNothing, stretches, type Drawing, type FigureContext } from './figure.ts';
import { faintColour, inkColour, linkLooks } from './theme.ts';

const [migrationLook, storageLook] = linkLooks;

/** After the link that a phase keeps busy. */
const phaseColours: Partial<Record<(typeof phaseNames)[number], string>> = {
  'first-pass': migrationLook.colour,
  'further-passes': migrationLook.colour,
  restore: storageLook.colour,
};

/** Of the row with most engines; under writes rather than idle, large rather than small. */
function runsOfTimeline({ cells }: Pick<FigureContext, 'cells'>): Run[] {
  const runsOf = (scenario: string, paperRowGib: number): Run[] =>
    cells
      .filter((cell) => cell.scenario === scenario && cell.paperRowGib === paperRowGib)
      .flatMap((cell) => typicalRun(cell) ?? []);
  return scenarioNames
    .flatMap((scenario) => paperRowsGib.map((paperRowGib) => runsOf(scenario, paperRowGib)))
    .reduce((best, runs) => (runs.length >= best.length ? runs : best), []);
}

export function timeline(context: FigureContext): Drawing {
  const { text } = context;
  const runs = runsOfTimeline(context);
  const timelines = runs.map((run) => ({
    engine:
      context.engineTitle(run.row.engine) +
      (run.row.outcome === 'not-converged' ? ` (${text('mark.not-converged')})` : ''),
    phases: phasesOf(run).map(({ phase, fromMs, toMs }) => ({
      phase: text(`timeline.${phase}`),
      from: fromMs / 1000,
      to: toMs / 1000,
      label: seconds(toMs - fromMs, 2),
      colour: phaseColours[phase] ?? faintColour,
    })),
  }));
  const titles = phaseNames.map((phase) => text(`timeline.${phase}`));
  const ends = timelines.flatMap(({ phases }) => phases.map(({ to }) => to));
  const x = {
    type: 'quantitative',
    title: text('axis.time'),
    // Room for the label of the longest, also where the page is narrow.
    ...(axisOfNothing(ends) ?? { scale: { domain: [0, Math.max(...ends) * 1.2], nice: false } }),
  };
  const y = { field: 'phase', type: 'nominal', sort: titles, title: null, axis: { labelLimit: 260 } };
  return {
    cells: [],
    isEmpty: timelines.every(({ phases }) => phases.length === 0),
    runs,
    notes: [
      'note.timeline',
      ...(runs.some(({ row }) => row.outcome === 'not-converged') ? (['note.cancelled'] as const) : []),
    ],
    body: {
      usermeta: stretches,
      spacing: 8,
      vconcat: timelines.map(({ engine, phases }, index) => ({
        title: { text: engine, fontSize: 11, fontWeight: 'normal', anchor: 'start', offset: 4 },
        data: { values: phases },
        width: 640,
        height: { step: 20 },
        layer: [
          {
            params: [
              {
                name: `zoom${index}`,
                select: { type: 'interval', encodings: ['x'], zoom: 'wheel![event.ctrlKey]' },
                bind: 'scales',
              },
            ],
            mark: {
              type: 'bar',
              stroke: inkColour,
              strokeWidth: 0.5,
              height: { band: 0.65 },
              clip: true,
              minBandSize: 1,
            },
            encoding: {
              y,
              color: { field: 'colour', type: 'nominal', scale: null },
              x: { field: 'from', ...x, title: index === timelines.length - 1 ? x.title : null },
              x2: { field: 'to' },
              tooltip: [
                { field: 'phase', title: text('legend.phase') },
                { field: 'from', title: text('span.from'), format: '.2f' },
                { field: 'to', title: text('span.to'), format: '.2f' },
                { field: 'label', title: text('span.length') },
              ],
            },
          },
          {
            mark: { type: 'text', align: 'left', dx: 5, fontSize: 10, color: inkColour, clip: true },
            encoding: {
              y,
              x: { field: 'to', ...x, title: index === timelines.length - 1 ? x.title : null },
              text: { field: 'label' },
            },
          },
        ],
      })),
    },
  };
}
