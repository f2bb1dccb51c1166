/** How wide text will be, where there is no browser to ask: Vega's own guess is a third too wide, and leaves gaps. */
import * as vega from 'vega';
import { textWidth } from '../figures/text-width.ts';

interface TextItem {
  readonly fontSize?: number;
  readonly limit?: number;
}

/** Vega's measuring of text, which its types leave out; vega-scenegraph provides for replacing it. */
const { textMetrics } = vega as unknown as {
  readonly textMetrics: { width: (item: TextItem, text: string | number | undefined) => number };
};

export function useOwnTextWidth(): void {
  textMetrics.width = ({ fontSize = 11, limit = 0 }, text) => {
    const width = textWidth(String(text ?? '').trim(), fontSize);
    return limit > 0 ? Math.min(limit, width) : width;
  };
}
