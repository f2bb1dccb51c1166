/** Why an item of the stream is not read. */
import type { Obstacle } from './obstacles.ts';

export type ItemStop =
  /** It has at least so many bytes, and they are not all at hand. */
  | { readonly is: 'incomplete'; readonly neededBytes: number }
  /** The stream cannot be filtered from here on. */
  | { readonly is: 'obstacle'; readonly obstacle: Obstacle };

export function incomplete(neededBytes: number): ItemStop {
  return { is: 'incomplete', neededBytes };
}

export function stoppedBy(obstacle: Obstacle): ItemStop {
  return { is: 'obstacle', obstacle };
}
