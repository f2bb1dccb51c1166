/** All figures, in the paper's order. */
import { beyondFigures } from './beyond.ts';
import type { Figure } from './figure.ts';
import { paperBars } from './paper-bars.ts';
import { paperCurves } from './paper-curves.ts';

const paperFigures: readonly Figure[] = [...paperBars, ...paperCurves].sort((a, b) =>
  a.name < b.name ? -1 : 1,
);

export const figures: readonly Figure[] = [...paperFigures, ...beyondFigures];
