/** What the stream reader is in the middle of, and what may be done with the output there. */
import type { ConfigurationReader } from './configuration.ts';
import type { SectionKind, StreamPosition } from './handler.ts';
import type { RamBlocksReader } from './ram-blocks.ts';

export type ReaderState =
  | { readonly in: 'magic' }
  | { readonly in: 'configuration'; readonly reader: ConfigurationReader }
  | { readonly in: 'between-sections' }
  | { readonly in: 'command'; remainingBytes: number }
  | { readonly in: 'ram'; readonly kind: SectionKind }
  | { readonly in: 'block-sizes'; readonly reader: RamBlocksReader }
  | { readonly in: 'held' }
  | { readonly in: 'device-state' }
  | { readonly in: 'pass-through' };

export function positionIn(state: ReaderState): StreamPosition {
  switch (state.in) {
    case 'magic':
    case 'configuration':
      return 'header';
    case 'block-sizes':
      return 'ram';
    default:
      return state.in;
  }
}

/** Whether a page record may be written to the output, and if it needs a section of its own around it. */
export type PlaceForPages = 'inside-section' | 'between-sections' | 'nowhere';

export function placeForPagesIn(state: ReaderState, blocksKnown: boolean): PlaceForPages {
  switch (state.in) {
    case 'held':
      return 'inside-section';
    case 'ram':
      return state.kind === 'start' ? 'nowhere' : 'inside-section';
    case 'between-sections':
      return blocksKnown ? 'between-sections' : 'nowhere';
    default:
      return 'nowhere';
  }
}
