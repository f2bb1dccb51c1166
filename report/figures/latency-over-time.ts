/** Transaction latency of each second, for the live view. Pure. */
import { curves } from './curves.ts';
import type { Figure } from './figure.ts';
import { engineLook } from './theme.ts';

export const liveLatency: Figure = {
  name: 'live-latency',
  title: 'title.latency',
  draw: (context) =>
    curves(context, {
      shows: () => true,
      curves: (run, { engine }) => [
        { label: context.engineTitle(engine), points: run.series.get('client latency_p95_ms') ?? [] },
      ],
      looks: context.engines.map((engine) => [context.engineTitle(engine), engineLook(engine)]),
      axis: 'axis.latency',
      legend: 'legend.engine',
      notes: [],
      interpolate: 'linear',
    }),
};
