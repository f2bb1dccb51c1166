/** What a figure is, and the frame that all have: title, conditions, runs that it was made from, theme. Pure. */
import { cellsOf, enginesOf, neverConverged, type Cell } from '../record/cells.ts';
import type { Run, RunSet } from '../record/read-set.ts';
import { isTextKey, textIn, type Language, type TextKey } from './text.ts';
import { themeConfig } from './theme.ts';

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
}

export interface Drawing {
  /** Data, marks and encodings; the frame is added by `specOf`. */
  readonly body: Spec;
  /** Cells that the figure shows, or says to be missing. */
  readonly cells: readonly Cell[];
  /** The runs that it was made from; all of the cells' if left out. */
  readonly runs?: readonly Run[];
  readonly notes?: readonly TextKey[];
}

export interface Figure {
  /** File name: `figure-08-total-time`. */
  readonly name: string;
  readonly title: TextKey;
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
    engineTitle: (engine) => {
      const key = `engine.${engine}`;
      return isTextKey(key) ? textIn(language, key) : engine;
    },
  };
}

export function specOf(figure: Figure, context: FigureContext): Spec {
  const drawing = figure.draw(context);
  const { body, cells, notes = [] } = drawing;
  const runs = drawing.runs ?? cells.flatMap((cell) => cell.runs);
  const marks: TextKey[] = [];
  if (cells.some((cell) => cell.runs.length === 0)) marks.push('note.missing');
  if (cells.some(neverConverged)) marks.push('note.not-converged');
  const noteText = [...notes, ...marks].map((note) => context.text(note)).join(' ');
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    title: {
      text: titleOf(figure, context),
      subtitle: [conditionsLine(runs, context), noteText, runsLine(runs, context)]
        .filter((line) => line !== '')
        .flatMap((line) => wrap(line, context.language === 'ja' ? 90 : 125)),
    },
    padding: 12,
    config: themeConfig(context.language),
    ...body,
  };
}

/** With the number that it has in the paper, if it is the paper's. */
export function titleOf({ name, title }: Figure, { text }: Pick<FigureContext, 'text'>): string {
  const number = /^figure-0?(\d+)/.exec(name)?.[1];
  return number === undefined ? text(title) : `${text('title.figure').replace('{}', number)} ${text(title)}`;
}

function conditionsLine(runs: readonly Run[], { text }: FigureContext): string {
  if (runs.length === 0) return '';
  const each = (value: (run: Run) => string): string => [...new Set(runs.map(value))].join(' | ');
  return [
    text('subtitle.scale').replace(
      '{}',
      each(({ row }) => String(row.scale)),
    ),
    text('subtitle.links').replace(
      '{}',
      each(({ row }) => String(row.link_bits_per_second / 1e6)),
    ),
    each(({ row, manifest }) => manifest.versions.databaseServer ?? row.dbms),
    each(({ row, manifest }) => `QEMU ${versionIn(manifest.versions.qemu ?? '')} (${row.accelerator})`),
  ].join(' · ');
}

const versionIn = (words: string): string => /\d+(\.\d+)+/.exec(words)?.[0] ?? '';

/** "Runs: matrix-1: idle-4/8/16-precopy-r1/2, rw-4-precopy-r1": cells that differ in memory row or repeat only are put together. */
function runsLine(runs: readonly Run[], { set, text }: FigureContext): string {
  if (runs.length === 0) return text('subtitle.no-runs');
  // Runs may be given one by one, too.
  const isOfSets = set.names.some((name) => set.runs.every((run) => run.name !== name));
  const names = merged(
    merged(
      runs.map(({ name }) => name),
      /^(.*-r)(\d+)()$/,
    ),
    /^(.*-)(\d+)(-[a-z-]+-r[\d/]+)$/,
  );
  return `${text('subtitle.runs')} ${isOfSets ? `${set.names.join(', ')}: ` : ''}${names.join(', ')}`;
}

/** Names that are alike but for the middle one of the pattern's three groups become one. */
function merged(names: readonly string[], pattern: RegExp): string[] {
  const middles = new Map<string, string[]>();
  for (const name of names) {
    const [, head = name, middle = '', tail = ''] = pattern.exec(name) ?? [];
    const key = JSON.stringify([head, tail]);
    middles.set(key, [...(middles.get(key) ?? []), middle]);
  }
  return [...middles].map(([key, found]) => (JSON.parse(key) as string[]).join(found.join('/')));
}

function wrap(line: string, width: number): string[] {
  const lines: string[] = [];
  let current = '';
  for (const word of line.split(' ')) {
    if (current !== '' && current.length + word.length + 1 > width) {
      lines.push(current);
      current = word;
    } else current = current === '' ? word : `${current} ${word}`;
  }
  return [...lines, current];
}

/** What stands in the place of a value that a cell does not have. */
export function absenceMark(cell: Cell, { text }: FigureContext): string {
  return text(neverConverged(cell) ? 'mark.not-converged' : 'mark.missing');
}

export const sum = (...values: readonly (number | undefined)[]): number | undefined =>
  values.every((value) => value === undefined)
    ? undefined
    : values.reduce<number>((total, value) => total + (value ?? 0), 0);

export const dividedBy =
  (divisor: number) =>
  (value: number | undefined): number | undefined =>
    value === undefined ? undefined : value / divisor;
