/** The paper's figures 7, 8, 15 and 18. */
import { paperScenarioNames } from '../../experiments/scenarios.ts';
import { valuesOf, type Cell } from '../record/cells.ts';
import type { Run } from '../record/read-set.ts';
import { ofMigrated } from '../record/run-row.ts';
import { mean } from '../statistics/spread.ts';
import { bars } from './bars.ts';
import { dividedBy, sum, type Figure } from './figure.ts';
import { stacks } from './stacks.ts';
import { linkLooks } from './theme.ts';

/** The others have no page list to wait for. */
const enginesWithList: readonly string[] = ['restore', 'balance'];

const [migrationLook, storageLook] = linkLooks;

const inSeconds = dividedBy(1000);
const inMegabytes = dividedBy(1e6);

/** Total time is "at least 1.3 and at most 2.3 times" shorter (the paper's text on its Figure 8); its other values it draws only. */
const paperSpeedUp = { least: 1.3, most: 2.3 };

/** In seconds: where the paper's method would be, if it gained as much on pre-copy here. */
function paperTotalTime(
  { engine, scenario, paperRowGib }: Cell,
  cells: readonly Cell[],
): { readonly low: number; readonly high: number } | undefined {
  if (engine !== 'restore') return undefined;
  const precopy = cells.find(
    (cell) => cell.engine === 'precopy' && cell.scenario === scenario && cell.paperRowGib === paperRowGib,
  );
  const times = precopy === undefined ? [] : valuesOf(precopy, (row) => inSeconds(row.total_time_ms));
  if (times.length === 0) return undefined;
  return { low: mean(times) / paperSpeedUp.most, high: mean(times) / paperSpeedUp.least };
}

/** From asking for the list to having it, less the phases that the agent and the engine time. */
function restOfListMs({ row, events }: Run): number | undefined {
  const listed = events.filter((event) => event.event === 'engine').find(({ name }) => name === 'listed');
  const totalMs = listed?.fields.list_total_ms;
  const phasesMs = sum(
    row.list_clean_ms,
    row.list_find_ms,
    row.list_translate_ms,
    row.list_map_ms,
    row.list_encode_ms,
    row.list_send_ms,
  );
  return totalMs !== undefined && phasesMs !== undefined ? Math.max(0, totalMs - phasesMs) : undefined;
}

export const paperBars: readonly Figure[] = [
  {
    name: 'figure-07-downtime',
    title: 'title.downtime',
    paperLoads: paperScenarioNames,
    draw: (context) => bars(context, { value: (row) => row.downtime_stop_resume_ms, axis: 'axis.downtime' }),
  },
  {
    name: 'figure-08-total-time',
    title: 'title.total-time',
    paperLoads: paperScenarioNames,
    draw: (context) =>
      bars(context, {
        value: (row) => inSeconds(row.total_time_ms),
        axis: 'axis.total-time',
        paper: (cell) => paperTotalTime(cell, context.cells),
      }),
  },
  {
    name: 'figure-15-transferred',
    title: 'title.transferred',
    paperLoads: paperScenarioNames,
    draw: (context) =>
      stacks(context, {
        parts: [
          {
            label: 'link.migration',
            value: ({ row }) => inMegabytes(ofMigrated(row, row.migration_link_bytes)),
            colour: migrationLook.colour,
          },
          {
            label: 'link.storage-both',
            value: ({ row }) => inMegabytes(ofMigrated(row, row.storage_link_bytes_dst)),
            colour: storageLook.colour,
          },
        ],
        axis: 'axis.transferred',
        legend: 'legend.link',
      }),
  },
  {
    name: 'figure-18-list-time',
    title: 'title.list-time',
    paperLoads: paperScenarioNames,
    draw: (context) =>
      stacks(context, {
        parts: [
          // Done where it is asked for only.
          {
            label: 'list.clean',
            mayLack: true,
            value: ({ row }) => inSeconds(row.list_clean_ms === 0 ? undefined : row.list_clean_ms),
          },
          { label: 'list.find', value: ({ row }) => inSeconds(row.list_find_ms) },
          { label: 'list.translate', value: ({ row }) => inSeconds(row.list_translate_ms) },
          { label: 'list.map', value: ({ row }) => inSeconds(row.list_map_ms) },
          { label: 'list.encode', value: ({ row }) => inSeconds(row.list_encode_ms) },
          { label: 'list.send', value: ({ row }) => inSeconds(row.list_send_ms) },
          { label: 'list.rest', value: (run) => inSeconds(restOfListMs(run)), colour: '#dcdcdc' },
        ],
        axis: 'axis.list-time',
        legend: 'legend.phase',
        // Pre-copy has no list.
        shows: ({ engine, runs }) =>
          runs.length === 0
            ? enginesWithList.includes(engine)
            : runs.some(({ row }) => row.pages_listed !== undefined),
      }),
  },
];
