/** How wide text will be, where there is no browser to ask: Vega's own guess is a third too wide, and leaves gaps. */
import * as vega from 'vega';

interface TextItem {
  readonly fontSize?: number;
  readonly limit?: number;
}

/** Vega's measuring of text, which its types leave out; vega-scenegraph provides for replacing it. */
const { textMetrics } = vega as unknown as {
  readonly textMetrics: { width: (item: TextItem, text: string | number | undefined) => number };
};

const wide = /[\u3000-\u9fff\uff00-\uff60]/;
const narrow = /[\s.,:;'|()\[\]ijlrtf1/·]/;

/** Em widths after DejaVu Sans and IPAGothic. */
function emOf(character: string): number {
  if (wide.test(character)) return 1;
  return narrow.test(character) ? 0.4 : 0.64;
}

/** Width in pixels. */
function textWidth(text: string, fontSize: number): number {
  return Array.from(text).reduce((em, character) => em + emOf(character), 0) * fontSize;
}

export function useOwnTextWidth(): void {
  textMetrics.width = ({ fontSize = 11, limit = 0 }, text) => {
    const width = textWidth(String(text ?? '').trim(), fontSize);
    return limit > 0 ? Math.min(limit, width) : width;
  };
}
