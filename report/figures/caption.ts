/** What is said of a figure in words: conditions, what marks mean, what its runs were not alike in, and which they are. Pure. */
import path from 'node:path';
import { linkRatesText } from '../../experiments/link-rates.ts';
import type { ScenarioName } from '../../experiments/scenarios.ts';
import { unmeasuredRows, type Row } from '../record/cells.ts';
import { bootsByRow, isOverloadedBefore, isSpeedUneven, unlikeBefore } from '../record/made-unlike.ts';
import type { Run } from '../record/read-set.ts';
import { linkRatesOf } from '../record/run-row.ts';
import { qemuText, serverText } from '../record/software.ts';
import { titleOf, type Drawing, type Figure, type FigureContext, type Spec } from './figure.ts';
import { isTextKey, type TextKey } from './text.ts';

export interface Caption {
  readonly title: string;
  readonly conditions: string;
  /** What the marks mean; may be empty. */
  readonly notes: string;
  /** What a reader must know before comparing the runs. */
  readonly remarks: readonly string[];
  /** Rows that the paper's figure has and this does not; may be empty. */
  readonly unmeasured: string;
  readonly runs: string;
}

export function captionOf(figure: Figure, drawing: Drawing, context: FigureContext): Caption {
  const { text } = context;
  const runs = runsOf(drawing);
  const marks = absenceNotes.filter(({ mark }) => hasAbsent(drawing.body, text(mark)));
  const notes = [...(drawing.notes ?? []), ...marks.map(({ note }) => note)].map(text);
  return {
    title: titleOf(figure, context),
    conditions: conditionsLine(runs, context),
    notes: notes.join(context.language === 'ja' ? '。' : ' '),
    remarks: remarks(runs, context),
    unmeasured: unmeasuredLine(runs, figure.paperLoads ?? [], context),
    runs: runsLine(runs, context),
  };
}

/** What holds of all of a set's runs, or is to be known of some. */
export function conditionsOfAll(context: FigureContext): Pick<Caption, 'conditions' | 'remarks'> {
  const runs = context.cells.flatMap((cell) => cell.runs);
  return { conditions: conditionsLine(runs, context), remarks: remarks(runs, context) };
}

/** Without the title. */
export function linesOf({ conditions, notes, remarks, unmeasured, runs }: Caption): string[] {
  return [conditions, notes, ...remarks, unmeasured, runs].filter((line) => line !== '');
}

const runsOf = ({ runs, cells }: Drawing): readonly Run[] => runs ?? cells.flatMap((cell) => cell.runs);

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
    ...(runs.some(({ row }) => row.guest === 'aged') ? [text('subtitle.aged')] : []),
    each(serverText),
    each(qemuText),
  ].join(' · ');
}

const scenarioTitle = (scenario: string, text: FigureContext['text']): string => {
  const key = `scenario.${scenario}`;
  return isTextKey(key) ? text(key) : scenario;
};

/** What the runs were not alike in, which a reader of the figure must know. */
function remarks(runs: readonly Run[], { text, engineTitle }: FigureContext): string[] {
  const said = (key: TextKey, what: string): string => text(key).replace('{}', what);
  const tps = ({ row }: Run): string => row.tps_before?.toFixed(1) ?? '?';
  // What falls due at random is not just the rate; older sets did not count it.
  const offeredOf = ({ row }: Run): string =>
    row.offered_tps_before?.toFixed(1) ?? String(row.rate_tps ?? '?');
  const overloaded = runs.filter(isOverloadedBefore);
  const namesOf = (found: readonly Run[]): string => found.map(({ name }) => name).join(', ');
  const failed = runs.filter(({ row }) => row.outcome === 'failed');
  const interrupted = runs.filter(({ row }) => row.load_interrupted === true);
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
    ...(failed.length === 0 ? [] : [said('remark.failed', namesOf(failed))]),
    ...(isSpeedUneven(runs) ? [said('remark.speed', bootsByRow(runs))] : []),
    ...(runs.some(({ row }) => row.scenario !== 'idle' && row.rate_tps === 0)
      ? [text('remark.saturated')]
      : []),
    ...(interrupted.length === 0 ? [] : [said('remark.interrupted', namesOf(interrupted))]),
    ...(overloaded.length === 0
      ? []
      : [
          said(
            'remark.overloaded',
            overloaded.map((run) => `${run.name} ${tps(run)}/${offeredOf(run)}`).join(', '),
          ),
        ]),
    ...(unlike.length === 0 ? [] : [said('remark.unlike-before', unlike.join('; '))]),
  ];
}

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

const absenceNotes = [
  { mark: 'mark.missing', note: 'note.missing' },
  { mark: 'mark.not-converged', note: 'note.not-converged' },
  { mark: 'mark.no-figure', note: 'note.no-figure' },
] as const;

/** Whether one of the drawing's rows of kind `absent` has the mark, or the words above a bar of which runs are cut. */
function hasAbsent({ data }: Spec, mark: string): boolean {
  const { values = [] } = (data ?? {}) as { readonly values?: readonly Spec[] };
  return values.some(({ kind, mark: own, cut }) =>
    String(kind === 'absent' ? own : (cut ?? '')).includes(mark),
  );
}
