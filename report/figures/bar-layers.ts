/** What bars and stacks have on top: whiskers, and the figure in numbers. Pure. */
import { axisOfNothing, type Spec } from './figure.ts';
import { inkColour } from './theme.ts';

/** Whiskers, of rows of kind `spread` that the filters keep: dark with a light edge, to be seen on a dark bar and beside a light one. */
export function spreadLayers(encoding: Spec, filters: readonly Spec[]): Spec[] {
  return [
    { color: 'white', strokeWidth: 4 },
    { color: inkColour, strokeWidth: 1.5 },
  ].map((look) => ({
    transform: [{ filter: "datum.kind === 'spread'" }, ...filters],
    // One that is longer than the bar ends at the axis.
    mark: { type: 'rule', clip: true, ...look },
    encoding,
  }));
}

/** In pixels above a bar: its number, and what stands above that. */
export const labelRows = [-4, -14] as const;

/** Words above bars, of rows of kind `label` that the filters keep: legible across rules and grid. */
export function labelLayers(
  encoding: Spec,
  filters: readonly Spec[],
  dy: (typeof labelRows)[number] = labelRows[0],
): Spec[] {
  return [{ stroke: 'white', strokeWidth: 3 }, {}].map((look) => ({
    transform: [{ filter: "datum.kind === 'label'" }, ...filters],
    mark: { type: 'text', baseline: 'bottom', dy, fontSize: 9, color: inkColour, ...look },
    encoding,
  }));
}

/** Scale and axis from zero to the highest of these, with room for a label above it. */
export function axisWithLabels(tops: readonly number[]): Spec {
  return axisOfNothing(tops) ?? { scale: { domain: [0, Math.max(...tops) * 1.12], nice: false } };
}
