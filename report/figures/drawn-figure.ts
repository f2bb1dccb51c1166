/** A figure of a set: bare, as papers take it, with its caption in words; or with a title block of its own. Pure. */
import { captionOf, linesOf, type Caption } from './caption.ts';
import type { Figure, FigureContext, Spec } from './figure.ts';
import { wrapText } from './text-width.ts';
import { subtitleFontSize, themeConfig } from './theme.ts';

interface DrawnFigure {
  /** Without the caption. */
  readonly spec: Spec;
  readonly caption: Caption;
}

/** Undefined where the set has nothing to show in it. */
export function drawnFigure(figure: Figure, context: FigureContext): DrawnFigure | undefined {
  const drawing = figure.draw(context);
  if (drawing.isEmpty) return undefined;
  const caption = captionOf(figure, drawing, context);
  return {
    caption,
    spec: {
      $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
      description: caption.title,
      padding: 12,
      config: themeConfig(context.language),
      ...drawing.body,
    },
  };
}

/** Narrower title blocks would be higher than what they stand above. */
const minTitleWidth = 460;

/** The caption stands above the plot, and no wider. */
export function withTitleBlock({ spec, caption }: DrawnFigure): Spec {
  const width = Math.max(minTitleWidth, plotWidth(spec));
  const subtitle = linesOf(caption).flatMap((line) => wrapText(line, width, subtitleFontSize));
  return { ...spec, title: { text: caption.title, subtitle } };
}

/** Axis, labels and spaces between panels. */
const beside = { axis: 55, panel: 10, names: 190 };

/** Near enough to wrap lines by, in pixels. */
function plotWidth(spec: Spec): number {
  const { facet, spec: panel, data, vconcat } = spec as Partial<FacetedSpec>;
  if (vconcat !== undefined) return beside.names + Math.max(...vconcat.map(({ width }) => width));
  const field = facet?.column?.field;
  const columns =
    field === undefined ? 1 : new Set(data?.values.map((row) => row[field]).filter(Boolean)).size;
  return beside.axis + columns * ((panel?.width ?? 0) + beside.panel);
}

/** The parts of a specification that decide its width. */
interface FacetedSpec {
  readonly facet: { readonly column?: { readonly field: string } };
  readonly spec: { readonly width: number };
  readonly data: { readonly values: readonly Spec[] };
  readonly vconcat: readonly { readonly width: number }[];
}
