/** What a figure is, and the frame that all have: title, conditions, runs that it was made from, theme. Pure. */
import path from 'node:path';
import { linkRatesText } from '../../experiments/link-rates.ts';
import type { ScenarioName } from '../../experiments/scenarios.ts';
import {
  cellsOf,
  enginesOf,
  paperRowsGibOf,
  neverConverged,
  scenariosOf,
  unmeasuredRows,
  type Cell,
  type Row,
} from '../record/cells.ts';
import { bootsByRow, isOverloadedBefore, isSpeedUneven, unlikeBefore } from '../record/made-unlike.ts';
import type { Run, RunSet } from '../record/read-set.ts';
import { linkRatesOf } from '../record/run-row.ts';
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
  /** Heading of a memory row's panel. */
  readonly panelTitle: (paperRowGib: number) => string;
}

export interface Drawing {
  /** Data, marks and encodings; the frame is added by `specOf`. */
  readonly body: Spec;
  /** Cells that the figure shows, or says to be missing. */
  readonly cells: readonly Cell[];
  /** The runs that it was made from; all of the cells' if left out. */
  readonly runs?: readonly Run[];
  readonly notes?: readonly TextKey[];
  /** Why there is nothing to draw, if so. */
  readonly nothing?: TextKey | undefined;
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

export function specOf(figure: Figure, context: FigureContext): Spec {
  const drawing = figure.draw(context);
  const { body, cells, notes = [] } = drawing;
  const runs = drawing.runs ?? cells.flatMap((cell) => cell.runs);
  const marks = absenceNotes
    .filter(({ mark }) => hasAbsent(body, context.text(mark)))
    .map(({ note }) => note);
  const noteText = [...notes, ...marks]
    .map((note) => context.text(note))
    .join(context.language === 'ja' ? '。' : ' ');
  const nothing = runs.length === 0 && cells.length === 0 ? 'mark.no-runs' : drawing.nothing;
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    title: {
      text: titleOf(figure, context),
      subtitle: [
        conditionsLine(runs, context),
        nothing === undefined ? noteText : '',
        ...remarks(runs, context),
        unmeasuredLine(runs, figure.paperLoads ?? [], context),
        runsLine(runs, context),
      ]
        .filter((line) => line !== '')
        .flatMap((line) => wrap(line, context.language === 'ja' ? 90 : 132)),
    },
    padding: 12,
    config: themeConfig(context.language),
    ...(nothing === undefined ? body : emptyBody(context.text(nothing))),
  };
}

const emptyBody = (text: string): Spec => ({
  data: { values: [{ text }] },
  width: 640,
  height: 140,
  mark: { type: 'text', fontSize: 13, color: '#555555' },
  encoding: { text: { field: 'text' } },
});

/** With the number that it has in the paper, if it is the paper's. */
export function titleOf({ name, title }: Figure, { text }: Pick<FigureContext, 'text'>): string {
  const number = /^figure-0?(\d+)/.exec(name)?.[1];
  return number === undefined ? text(title) : `${text('title.figure').replace('{}', number)} ${text(title)}`;
}

function conditionsLine(runs: readonly Run[], { text }: FigureContext): string {
  if (runs.length === 0) return '';
  const each = (value: (run: Run) => string): string => [...new Set(runs.map(value))].join(' | ');
  const size = (bytes: number | undefined): string =>
    bytes === undefined ? '?' : String(Number((bytes / 2 ** 30).toFixed(2)));
  const load = runs.filter(({ row }) => row.scenario !== 'idle');
  const loadOf = ({ row }: Run): string =>
    text('subtitle.load')
      .replace('{}', String(row.threads ?? '?'))
      .replace('{}', row.rate_tps === 0 ? text('subtitle.full-speed') : `${row.rate_tps ?? '?'}/s`);
  const scale = text('subtitle.scale').replace(
    '{}',
    each(({ row }) => String(row.scale)),
  );
  const sizes = text('subtitle.sizes')
    .replace(
      '{}',
      each(({ row }) => size(row.vm_memory_bytes)),
    )
    .replace(
      '{}',
      each(({ row }) => linkRatesText(linkRatesOf(row))),
    );
  return [
    `${scale}${sizes}`,
    ...(load.length === 0 ? [] : [[...new Set(load.map(loadOf))].join(' | ')]),
    each(
      ({ row, manifest }) =>
        `${dbmsTitles[row.dbms ?? ''] ?? row.dbms ?? ''} ${versionIn(manifest.versions.databaseServer ?? '')}`,
    ),
    each(({ row, manifest }) => `QEMU ${versionIn(manifest.versions.qemu ?? '')} (${row.accelerator ?? ''})`),
  ]
    .map((condition) => condition.replaceAll(' ', unbroken))
    .join(' · ');
}

const scenarioTitle = (scenario: string, text: FigureContext['text']): string => {
  const key = `scenario.${scenario}`;
  return isTextKey(key) ? text(key) : scenario;
};

/** What the runs were not alike in, which a reader of the figure must know. */
function remarks(runs: readonly Run[], { text, engineTitle }: FigureContext): string[] {
  const said = (key: TextKey, what: string): string => text(key).replace('{}', what);
  const tps = ({ row }: Run): string => row.tps_before?.toFixed(1) ?? '?';
  const overloaded = runs.filter(isOverloadedBefore);
  const unlike = unlikeBefore(runs).map((alike) => {
    const [first] = alike;
    const cell =
      first === undefined ? '' : `${scenarioTitle(first.row.scenario, text)} ${first.row.paper_row_gib} GiB`;
    const byEngine = [...Map.groupBy(alike, ({ row }) => row.engine)].map(
      ([engine, ofEngine]) => `${engineTitle(engine)} ${ofEngine.map(tps).join('/')}`,
    );
    return `${cell} ${byEngine.join(', ')}`;
  });
  return [
    ...(isSpeedUneven(runs) ? [said('remark.speed', bootsByRow(runs))] : []),
    ...(runs.some(({ row }) => row.scenario !== 'idle' && row.rate_tps === 0)
      ? [text('remark.saturated')]
      : []),
    ...(overloaded.length === 0
      ? []
      : [
          said(
            'remark.overloaded',
            overloaded.map((run) => `${run.name} ${tps(run)}/${run.row.rate_tps ?? '?'}`).join(', '),
          ),
        ]),
    ...(unlike.length === 0 ? [] : [said('remark.unlike-before', unlike.join('; '))]),
  ];
}

/** A space at which no line ends. */
const unbroken = '\u00a0';

const dbmsTitles: Readonly<Record<string, string>> = { mariadb: 'MariaDB', mysql: 'MySQL' };

const versionIn = (words: string): string => /\d+(\.\d+)+/.exec(words)?.[0] ?? '';

/** "Rows of the paper without a run here: Idle 4, 8 GiB; RO 24 GiB" */
function unmeasuredLine(
  runs: readonly Run[],
  loads: readonly ScenarioName[],
  { text }: Pick<FigureContext, 'text'>,
): string {
  const rows = unmeasuredRows(runs, loads);
  if (runs.length === 0 || rows.length === 0) return '';
  return `${text('subtitle.unmeasured')} ${describeRows(rows, text)}`;
}

export function describeRows(rows: readonly Row[], text: FigureContext['text']): string {
  return [...Map.groupBy(rows, ({ scenario }) => scenario)]
    .map(
      ([scenario, ofLoad]) =>
        `${text(`scenario.${scenario}`)} ${ofLoad.map(({ paperRowGib }) => paperRowGib).join(', ')} GiB`,
    )
    .join('; ');
}

/** "Runs: matrix-1: idle-4/8/16-precopy-r1/2, rw-4-precopy-r1": cells that differ in memory row or repeat only are put together. */
function runsLine(runs: readonly Run[], { text }: FigureContext): string {
  if (runs.length === 0) return '';
  const sets = [...Map.groupBy(runs, ({ set }) => set)].map(([set, ofSet]) => {
    const names = merged(
      merged(
        ofSet.map(({ name }) => name),
        /^(.*-r)(\d+)()$/,
      ),
      /^(.*-)(\d+)(-[a-z-]+-r[\d/]+)$/,
    );
    return `${set === '' ? '' : `${path.basename(set)}: `}${names.join(', ')}`;
  });
  return `${text('subtitle.runs')} ${sets.join('; ')}`;
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

const absenceNotes = [
  { mark: 'mark.missing', note: 'note.missing' },
  { mark: 'mark.not-converged', note: 'note.not-converged' },
  { mark: 'mark.no-figure', note: 'note.no-figure' },
] as const;

/** Whether one of the drawing's rows of kind `absent` has the mark. */
function hasAbsent({ data }: Spec, mark: string): boolean {
  const { values = [] } = (data ?? {}) as { readonly values?: readonly Spec[] };
  return values.some((row) => row['kind'] === 'absent' && String(row['mark']).includes(mark));
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

/** What stands in the place of a value that a cell does not have. */
export function absenceMark(cell: Cell, { text }: Pick<FigureContext, 'text'>): string {
  if (cell.runs.length === 0) return text('mark.missing');
  return text(neverConverged(cell) ? 'mark.not-converged' : 'mark.no-figure');
}

export const sum = (...values: readonly (number | undefined)[]): number | undefined =>
  values.every((value) => value === undefined)
    ? undefined
    : values.reduce<number>((total, value) => total + (value ?? 0), 0);

export const dividedBy =
  (divisor: number) =>
  (value: number | undefined): number | undefined =>
    value === undefined ? undefined : value / divisor;
