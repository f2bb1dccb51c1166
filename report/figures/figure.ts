/** What a figure is, and what all kinds of figure share. Pure. */
import type { ScenarioName } from '../../experiments/scenarios.ts';
import {
  cellsOf,
  enginesOf,
  paperRowsGibOf,
  neverConverged,
  scenariosOf,
  type Cell,
} from '../record/cells.ts';
import type { Run, RunSet } from '../record/read-set.ts';
import { isTextKey, textIn, type Language, type TextKey } from './text.ts';
import { textWidth } from './text-width.ts';
import { axisFontSize } from './theme.ts';

/** A Vega-Lite specification, or a part of one. Checked by Vega-Lite itself when it is compiled. */
export type Spec = Readonly<Record<string, unknown>>;

export interface FigureContext {
  readonly set: RunSet;
  readonly cells: readonly Cell[];
  readonly engines: readonly string[];
  readonly language: Language;
  /** With marks that catch the pointer, for the page; without them for files. */
  readonly interactive: boolean;
  readonly text: (key: TextKey) => string;
  readonly engineTitle: (engine: string) => string;
  /** Heading of a memory row's panel. */
  readonly panelTitle: (paperRowGib: number) => string;
}

export interface Drawing {
  /** Data, marks and encodings; theme and title are added by `drawnFigure`. */
  readonly body: Spec;
  /** Cells that the figure shows, or says to be missing. */
  readonly cells: readonly Cell[];
  /** The runs that it was made from; all of the cells' if left out. */
  readonly runs?: readonly Run[];
  readonly notes?: readonly TextKey[];
  /** Nothing was measured of what it shows. */
  readonly isEmpty: boolean;
}

export interface Figure {
  /** File name: `figure-08-total-time`. */
  readonly name: string;
  readonly title: TextKey;
  /** Loads that the paper's figure shows: rows of them that were not measured are named. */
  readonly paperLoads?: readonly ScenarioName[];
  readonly draw: (context: FigureContext) => Drawing;
}

export function contextOf(set: RunSet, language: Language, interactive: boolean): FigureContext {
  return {
    set,
    cells: cellsOf(set),
    engines: enginesOf(set),
    language,
    interactive,
    text: (key) => textIn(language, key),
    panelTitle: (paperRowGib) => textIn(language, 'panel.memory').replace('{}', String(paperRowGib)),
    engineTitle: (engine) => {
      const key = `engine.${engine}`;
      return isTextKey(key) ? textIn(language, key) : engine;
    },
  };
}

/** With the number that it has in the paper, if it is the paper's. */
export function titleOf({ name, title }: Figure, { text }: Pick<FigureContext, 'text'>): string {
  const number = /^figure-0?(\d+)/.exec(name)?.[1];
  return number === undefined ? text(title) : `${text('title.figure').replace('{}', number)} ${text(title)}`;
}

/** Panels by memory row and load; side by side by load where there is one memory row only. */
export function panelsOf(cells: readonly Cell[], { text, panelTitle }: FigureContext): Spec {
  const scenarios = scenariosOf(cells).map((name) => text(`scenario.${name}`));
  const sizes = paperRowsGibOf(cells);
  const [onlySize] = sizes;
  if (onlySize !== undefined && sizes.length === 1)
    return { column: { field: 'scenario', sort: scenarios, title: panelTitle(onlySize) } };
  return {
    column: { field: 'panel', sort: sizes.map(panelTitle), title: null },
    row: { field: 'scenario', sort: scenarios, title: null },
  };
}

/**
 * Scale and axis where no value is above zero: a zero at the bottom if there are values, else neither ticks nor labels. From
 * zero to zero, Vega's one tick would be "0.000000". Undefined where there is a value to scale by.
 */
export function axisOfNothing(values: readonly number[]): Spec | undefined {
  if (values.some((value) => value > 0)) return undefined;
  const axis =
    values.length > 0 ? { values: [0], format: 'd' } : { labels: false, ticks: false, grid: false };
  return { scale: { domain: [0, 1] }, axis };
}

/** Methods side by side in a panel of that width, their names aslant where they would run into each other. */
export function engineAxis(engines: readonly string[], width: number, title: string | null = null): Spec {
  const room = width / engines.length - 4;
  const isTight = engines.some((engine) => textWidth(engine, axisFontSize) > room);
  return { field: 'engine', type: 'nominal', sort: engines, title, axis: { labelAngle: isTight ? -30 : 0 } };
}

/** What stands in the place of a value that a cell does not have. */
export function absenceMark(cell: Cell, { text }: Pick<FigureContext, 'text'>): string {
  if (cell.runs.length === 0) return text('mark.missing');
  return text(neverConverged(cell) ? 'mark.not-converged' : 'mark.no-figure');
}

/** The marks of rows of kind `absent`, on the ground. */
export const absentLayer: Spec = {
  transform: [{ filter: "datum.kind === 'absent'" }],
  mark: { type: 'text', baseline: 'bottom', dy: -2, fontSize: 11, color: '#777777' },
  encoding: { y: { datum: 0 }, text: { field: 'mark' } },
};

/** In pixels: one panel alone is not much narrower than what is said above it. */
export const panelWidth = (wanted: number, panels: number): number =>
  Math.max(Math.round(wanted), panels === 1 ? 290 : 0);

/** How many panels `panelsOf` makes. */
export const panelCount = (cells: readonly Cell[]): number =>
  scenariosOf(cells).length * paperRowsGibOf(cells).length;

/** In a specification's `usermeta`: its panels may be narrower than they say, where the page is. */
export const stretches = { stretches: true };

/** On the page, a click on an entry of a legend shows only what has it, further clicks add entries; one beside it shows all. */
export function legendParam({ interactive }: FigureContext, field: string): Spec[] {
  if (!interactive) return [];
  return [
    { name: `shown_${field}`, select: { type: 'point', fields: [field], toggle: 'true' }, bind: 'legend' },
  ];
}

/** Keeps the rows whose entries of those legends are shown. */
export const legendFilters = ({ interactive }: FigureContext, ...fields: readonly string[]): Spec[] =>
  interactive ? fields.map((field) => ({ filter: { param: `shown_${field}` } })) : [];

export const sum = (...values: readonly (number | undefined)[]): number | undefined =>
  values.every((value) => value === undefined)
    ? undefined
    : values.reduce<number>((total, value) => total + (value ?? 0), 0);

export const dividedBy =
  (divisor: number) =>
  (value: number | undefined): number | undefined =>
    value === undefined ? undefined : value / divisor;
