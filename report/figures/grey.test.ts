/** Series that only their fill tells apart differ in lightness, so that figures can be read in grey. */
import test from 'ava';
import { recipes } from '../../experiments/recipes/all.ts';
import { syntheticSet } from '../testing/synthetic-set.ts';
import { figures } from './all.ts';
import { drawnFigure } from './drawn-figure.ts';
import { contextOf } from './figure.ts';

/** CIE L*, 0 (black) to 100, of an sRGB colour. */
function lightness(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const value = parseInt(colour.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  const luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return luminance > 0.008856 ? 116 * Math.cbrt(luminance) - 16 : 903.3 * luminance;
}

/** Colours of every scale by which bars of the specification are filled. */
function fillsOf(spec: unknown): string[][] {
  if (typeof spec !== 'object' || spec === null) return [];
  const { mark, encoding } = spec as {
    readonly mark?: string | { readonly type?: string };
    readonly encoding?: { readonly color?: { readonly scale?: { readonly range?: readonly unknown[] } } };
  };
  const type = typeof mark === 'object' ? mark.type : mark;
  const range = type === 'bar' ? encoding?.color?.scale?.range : undefined;
  const colours = (range ?? []).filter((colour) => typeof colour === 'string');
  return [...(colours.length > 1 ? [colours] : []), ...Object.values(spec).flatMap(fillsOf)];
}

const minDifference = 6;

test('lightness is that of known colours', (t) => {
  t.is(Math.round(lightness('#ffffff')), 100);
  t.is(Math.round(lightness('#000000')), 0);
  t.is(Math.round(lightness('#777777')), 50);
});

/** Those that one figure may show beside each other. */
for (const { name, engines } of recipes) {
  test(`fills of one figure differ in lightness: engines of the recipe ${name}`, (t) => {
    const context = contextOf(syntheticSet({ engines, paperRowsGib: [16] }), 'en', false);
    let scales = 0;
    for (const figure of figures) {
      for (const colours of fillsOf(drawnFigure(figure, context)?.spec)) {
        scales += 1;
        const sorted = [...new Set(colours)].sort((a, b) => lightness(a) - lightness(b));
        for (const [index, colour] of sorted.entries()) {
          const darker = sorted[index - 1];
          if (darker === undefined) continue;
          const difference = lightness(colour) - lightness(darker);
          t.true(
            difference >= minDifference,
            `${figure.name}: ${darker}, ${colour}: ${difference.toFixed(1)}`,
          );
        }
      }
    }
    t.true(scales >= 3, `${scales} scales`);
  });
}
