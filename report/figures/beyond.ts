/** Figures that the paper does not have. */
import type { Run } from '../record/read-set.ts';
import { efficiencyOf, ofMigrated } from '../record/run-row.ts';
import { bars } from './bars.ts';
import { downtimeWays, enginesCompared } from './dots.ts';
import { dividedBy, type Figure } from './figure.ts';
import { gainFigure, gainOverDirtyRate } from './gain.ts';
import { latency } from './latency.ts';
import { queued } from './queued.ts';
import { stacks } from './stacks.ts';
import { linkLooks } from './theme.ts';
import { timeline } from './timeline.ts';

/** Pages have the colour of the link that they crossed. */
const [migrationLook, storageLook] = linkLooks;

const pageBytes = 4096;

const inMegabytes = dividedBy(1e6);
/** Of pages, of a migration that came to its end. */
const megabytesOf = ({ row }: Run, pages: number | undefined): number | undefined =>
  dividedBy(1e6 / pageBytes)(ofMigrated(row, pages));

const lastOf = ({ series }: Run, metric: string): number | undefined => series.get(metric)?.at(-1)?.value;

export const beyondFigures: readonly Figure[] = [
  { name: 'extra-01-downtime-ways', title: 'title.downtime-ways', draw: downtimeWays },
  { name: 'extra-02-latency', title: 'title.latency', draw: latency },
  {
    name: 'extra-03-efficiency',
    title: 'title.efficiency',
    draw: (context) =>
      bars(context, {
        value: efficiencyOf,
        axis: 'axis.efficiency',
        notes: ['note.efficiency'],
        rules: [0.5, 1],
      }),
  },
  {
    name: 'extra-04-page-origins',
    title: 'title.page-origins',
    draw: (context) =>
      stacks(context, {
        parts: [
          {
            label: 'origin.zero',
            colour: '#dcdcdc',
            value: (run) => megabytesOf(run, lastOf(run, 'src ram_zero_pages')),
          },
          {
            label: 'origin.sent',
            colour: migrationLook.colour,
            // QEMU counts a page that the engine left out as sent.
            value: (run) => {
              const sent = lastOf(run, 'src ram_normal_pages');
              return megabytesOf(run, sent && Math.max(0, sent - (run.row.pages_left_out ?? 0)));
            },
          },
          {
            label: 'origin.shared',
            colour: '#4f7fba',
            // What storage did not give is among them, and has a part of its own; but for what the guest wrote again meanwhile.
            value: (run) => {
              const { pages_sent_after_all: sent, pages_mismatched = 0, pages_unreadable = 0 } = run.row;
              return megabytesOf(run, sent && Math.max(0, sent - pages_mismatched - pages_unreadable));
            },
          },
          {
            label: 'origin.restored',
            colour: storageLook.colour,
            value: (run) => megabytesOf(run, run.row.pages_restored),
          },
          {
            label: 'origin.cancelled',
            colour: '#f0b860',
            value: (run) => megabytesOf(run, run.row.pages_cancelled),
          },
          {
            label: 'origin.mismatched',
            colour: '#8c510a',
            value: (run) => megabytesOf(run, run.row.pages_mismatched),
          },
          {
            label: 'origin.unreadable',
            colour: '#000000',
            value: (run) => megabytesOf(run, run.row.pages_unreadable),
          },
        ],
        axis: 'axis.pages',
        legend: 'legend.origin',
      }),
  },
  { name: 'extra-05-phases', title: 'title.timeline', draw: timeline },
  { name: 'extra-06-engines', title: 'title.engines', draw: enginesCompared },
  { name: 'extra-07-queued', title: 'title.queued', draw: queued },
  {
    name: 'extra-08-memory-held',
    title: 'title.memory-held',
    draw: (context) =>
      stacks(context, {
        parts: [
          {
            label: 'held.zero',
            colour: '#d9d9d9',
            value: ({ row }) => inMegabytes(row.memory_zero_bytes),
          },
          {
            label: 'held.pool',
            colour: storageLook.colour,
            value: ({ row }) =>
              row.memory_zero_bytes === undefined ? undefined : inMegabytes(row.pool_in_use_bytes),
          },
          {
            label: 'held.page-cache',
            colour: '#f0b860',
            value: ({ row }) => inMegabytes(row.memory_page_cache_bytes),
          },
          {
            label: 'held.other',
            colour: migrationLook.colour,
            value: ({ row }) => inMegabytes(row.memory_other_bytes),
          },
        ],
        axis: 'axis.held',
        legend: 'legend.held',
      }),
  },
  { name: gainFigure, title: 'title.gain', draw: gainOverDirtyRate },
];
