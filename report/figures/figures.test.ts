import path from 'node:path';
import test from 'ava';
import { engineNames } from '../../experiments/engines.ts';
import { readSet, type RunSet } from '../record/read-set.ts';
import { svgOf } from '../render/draw.ts';
import { syntheticSet, type SyntheticOptions } from '../testing/synthetic-set.ts';
import { figures } from './all.ts';
import { drawnFigure, withTitleBlock } from './drawn-figure.ts';
import { contextOf, titleOf, type Figure, type FigureContext, type Spec } from './figure.ts';
import { remainingBytes } from './paper-curves.ts';
import { languages } from './text.ts';
import { textWidth } from './text-width.ts';

const grid = syntheticSet({ repeats: 2 });
/** With its title block; a figure without numbers fails the test. */
function specOf(figure: Figure, context: FigureContext): Spec {
  const drawn = drawnFigure(figure, context);
  if (drawn === undefined) throw new Error(`${figure.name} is not drawn`);
  return withTitleBlock(drawn);
}
const textsOf = (svg: string): string[] =>
  [...svg.matchAll(/>([^<>]+)<\/(?:text|tspan)>/g)].map((match) => match[1] ?? '');

test('the paper’s figures 7 to 18 are all there', (t) => {
  const numbers = figures.flatMap(({ name }) => /^figure-(\d\d)-[a-z-]+$/.exec(name)?.[1] ?? []);
  t.deepEqual(numbers, ['07', '08', '09', '10', '11', '12', '13', '14', '15', '16', '17', '18']);
});

for (const figure of figures) {
  test(`${figure.name} is drawn in every language, with its title and its runs`, async (t) => {
    for (const language of languages) {
      const context = contextOf(grid, language, false);
      const texts = textsOf(await svgOf(figure.name, specOf(figure, context)));
      t.true(texts.includes(titleOf(figure, context)));
      t.true(
        texts.some((text) => text.includes('synthetic: ')),
        'names its runs',
      );
      t.true(
        texts.some((text) => text.includes('1/8')),
        'names its scale',
      );
    }
  });

  test(`${figure.name} is not drawn without any run, and not where nothing was run of what was planned`, (t) => {
    const empty = { names: ['none'], runs: [], leftOut: [], planned: [], recordedPlans: [] };
    t.is(drawnFigure(figure, contextOf(empty, 'en', true)), undefined);
    const planned = ['idle', 'rw'].flatMap((scenario) =>
      ['precopy', 'restore'].map((engine) => ({ set: 'synthetic', scenario, paperRowGib: 16, engine })),
    );
    const set: RunSet = { ...empty, planned, recordedPlans: ['synthetic'] };
    t.is(drawnFigure(figure, contextOf(set, 'en', true)), undefined);
  });

  test(`${figure.name} is drawn bare, its caption apart, and with a legend that filters on the page`, async (t) => {
    const drawn = drawnFigure(figure, contextOf(grid, 'en', true));
    if (drawn === undefined) throw new Error('not drawn');
    t.true(drawn.caption.runs.includes('synthetic: '));
    const svg = await svgOf(figure.name, drawn.spec);
    t.true(svg.startsWith(`<svg role="img" aria-label="${drawn.caption.title}"`));
    t.false(textsOf(svg).includes(drawn.caption.title));
    const isFiltered = JSON.stringify(drawn.spec).includes('"bind":"legend"');
    // Phases have their names beside them.
    t.is(isFiltered, figure.name !== 'extra-05-phases');
  });
}

test('a missing cell is shown as missing, one that did not converge as such', async (t) => {
  const figure = figures.find(({ name }) => name === 'figure-08-total-time');
  if (figure === undefined) throw new Error('no figure 8');
  const runs = grid.runs
    .filter(({ row }) => row.scenario !== 'rw' || row.paper_row_gib !== 24 || row.engine !== 'restore')
    .map((run) =>
      run.row.scenario === 'ro' && run.row.paper_row_gib === 4 && run.row.engine === 'precopy'
        ? { ...run, row: { ...run.row, outcome: 'not-converged' as const, total_time_ms: undefined } }
        : run,
    );
  const marks = async (set: typeof grid) => {
    const texts = textsOf(await svgOf('8', specOf(figure, contextOf(set, 'en', false))));
    return ['×', 'n/c'].map((mark) => texts.filter((text) => text === mark).length);
  };
  t.deepEqual(await marks(grid), [0, 0]);
  t.deepEqual(await marks({ ...grid, runs }), [1, 1]);
});

test('a bar of which some runs did not converge says how many, narrow or wide, and what that is', async (t) => {
  const figure = figures.find(({ name }) => name === 'figure-08-total-time');
  if (figure === undefined) throw new Error('no figure 8');
  const textsFor = async (options: SyntheticOptions, isCut: boolean) => {
    const set = syntheticSet({ ...options, repeats: 3 });
    const runs = set.runs.map((run) =>
      isCut && run.name.startsWith('ro-8-precopy') && run.row.repeat > 1
        ? { ...run, row: { ...run.row, outcome: 'not-converged' as const, total_time_ms: undefined } }
        : run,
    );
    return textsOf(await svgOf('8', specOf(figure, contextOf({ ...set, runs }, 'en', false))));
  };
  const narrow = { engines: ['precopy', 'restore', 'balance', 'multifd-zstd'] };
  for (const options of [{ paperRowsGib: [8] }, narrow]) {
    const cut = await textsFor(options, true);
    t.true(cut.includes('2 n/c'));
    // The note may take two lines.
    t.true(cut.join(' ').includes('n/c did not converge'));
    t.false((await textsFor(options, false)).join(' ').includes('n/c'));
  }
});

test('bytes and pages of a run that was cancelled are in no bar and no ratio', async (t) => {
  const cutRuns = (isCut: (repeat: number) => boolean, factor: number): RunSet => {
    const set = syntheticSet({ scenarios: ['rw'], paperRowsGib: [8], repeats: 3, noise: 0 });
    const runs = set.runs.map((run) => {
      if (run.row.engine !== 'precopy' || !isCut(run.row.repeat)) return run;
      const moved = factor * (run.row.migration_link_bytes ?? 0);
      const row = { ...run.row, outcome: 'not-converged' as const, total_time_ms: undefined };
      return { ...run, row: { ...row, migration_link_bytes: moved } };
    });
    return { ...set, runs };
  };
  const valuesOf = (name: string, set: RunSet): readonly Spec[] => {
    const figure = figures.find((one) => one.name === name);
    const spec = figure && specOf(figure, contextOf(set, 'en', false));
    return (spec?.['data'] as { values: readonly Spec[] }).values;
  };
  const part = cutRuns((repeat) => repeat > 1, 9);
  const all = cutRuns(() => true, 9);
  for (const name of ['figure-15-transferred', 'extra-04-page-origins']) {
    const ofPrecopy = (set: RunSet, kind: string) =>
      valuesOf(name, set).filter((row) => row['kind'] === kind && row['engine'] === 'pre-copy');
    const parts = (set: RunSet) =>
      ofPrecopy(set, 'part').map(({ part: of, value }) => [of, Number(value).toFixed(6)]);
    t.deepEqual(parts(part), parts(cutRuns(() => false, 1)), name);
    t.is(ofPrecopy(part, 'label')[0]?.['cut'], '2 n/c', name);
    t.is(ofPrecopy(all, 'absent')[0]?.['mark'], 'n/c', name);
  }
  const figure = figures.find(({ name }) => name === 'figure-15-transferred');
  if (figure === undefined) throw new Error('no figure 15');
  t.true(textsOf(await svgOf('15', specOf(figure, contextOf(part, 'en', false)))).includes('2 n/c'));
  const ratios = (set: RunSet) =>
    valuesOf('extra-06-engines', set).map(({ ratio }) => Number(ratio).toFixed(6));
  t.deepEqual(ratios(part), ratios(cutRuns(() => false, 1)));
});

test('a run of which one part was not measured makes no sum smaller than its parts', (t) => {
  const set = syntheticSet({ scenarios: ['rw'], paperRowsGib: [8], repeats: 3 });
  const runs = set.runs.map((run) =>
    run.name === 'rw-8-restore-r1' ? { ...run, row: { ...run.row, migration_link_bytes: undefined } } : run,
  );
  const figure = figures.find(({ name }) => name === 'figure-15-transferred');
  const drawing = figure?.draw(contextOf({ ...set, runs }, 'en', false));
  const { values } = drawing?.body['data'] as { values: Record<string, unknown>[] };
  const ofRestore = values.filter(({ engine }) => engine === 'restore');
  const parts = ofRestore.filter(({ kind }) => kind === 'part');
  const label = ofRestore.find(({ kind }) => kind === 'label');
  const sum = parts.reduce((total, { value }) => total + Number(value), 0);
  t.true(Math.abs(Number(String(label?.['label']).replace(',', '')) - sum) <= 0.5, JSON.stringify(label));
  t.deepEqual(
    ofRestore.filter(({ kind }) => kind === 'run').map(({ run }) => run),
    ['rw-8-restore-r2', 'rw-8-restore-r3'],
  );
  const ratios = figures
    .find(({ name }) => name === 'extra-06-engines')
    ?.draw(contextOf({ ...set, runs }, 'en', false));
  const { values: marks } = ratios?.body['data'] as { values: Record<string, unknown>[] };
  const bytes = marks.filter(({ kind, metric }) => kind === 'run' && metric === 'bytes of both links');
  t.is(bytes.length, 2, [...new Set(marks.map(({ metric }) => metric))].join());
});

test('of a server that was overloaded before, what it completed stands beside what fell due', (t) => {
  const set = syntheticSet({ scenarios: ['rw'], paperRowsGib: [8], engines: ['precopy'] });
  const before = { rate_reached: false, tps_before: 8.06, offered_tps_before: 8.53 };
  const runs = set.runs.map((run) => ({ ...run, row: { ...run.row, ...before } }));
  const figure = figures.find(({ name }) => name === 'figure-07-downtime');
  const drawn = figure && drawnFigure(figure, contextOf({ ...set, runs }, 'en', false));
  t.regex(drawn?.caption.remarks.join() ?? '', /completed of offered: rw-8-precopy-r1 8\.1\/8\.5/);
});

test('no part of a bar of pages is below zero', (t) => {
  const set = syntheticSet({ scenarios: ['rw'], paperRowsGib: [8] });
  // A page that storage did not give was written again before it was sent.
  const runs = set.runs.map((run) => ({ ...run, row: { ...run.row, pages_mismatched: 25 } }));
  const figure = figures.find(({ name }) => name === 'extra-04-page-origins');
  if (figure === undefined) throw new Error('no figure of pages');
  const spec = specOf(figure, contextOf({ ...set, runs }, 'en', false));
  for (const { value = 0 } of (spec['data'] as { values: readonly Spec[] }).values)
    t.true(Number(value) >= 0);
});

test('cells that nobody meant to run are not shown, and rows of the paper without a run are named', async (t) => {
  const figure = figures.find(({ name }) => name === 'figure-08-total-time');
  if (figure === undefined) throw new Error('no figure 8');
  const textsFor = async (set: RunSet) =>
    textsOf(await svgOf('8', specOf(figure, contextOf(set, 'en', false))));
  const crosses = (texts: readonly string[]) => texts.filter((text) => text === '×').length;

  const oneRow = syntheticSet({ scenarios: ['rw'], paperRowsGib: [16], engines: ['precopy', 'balance'] });
  const texts = await textsFor(oneRow);
  t.is(crosses(texts), 0);
  t.true(
    texts
      .join(' ')
      .includes('without a run here: Idle 4, 8, 16, 24 GiB; RO 4, 8, 16, 24 GiB; RW 4, 8, 24 GiB'),
  );
  t.true(texts.includes('balance'));
  t.false(texts.includes('restore'));

  // A run that was left out was meant to be, in its row and with its engine: with the other row, four cells miss a run.
  const planned = [{ set: 'synthetic', scenario: 'rw', paperRowGib: 8, engine: 'xbzrle' }];
  t.is(crosses(await textsFor({ ...oneRow, planned })), 4);
  // That of another set says nothing of the engines of this one.
  const elsewhere = [{ set: 'other', scenario: 'rw', paperRowGib: 8, engine: 'xbzrle' }];
  t.is(crosses(await textsFor({ ...oneRow, planned: elsewhere })), 1);
});

test('of a set that records its plan, what was planned is missing, and nothing else', async (t) => {
  const figure = figures.find(({ name }) => name === 'figure-08-total-time');
  if (figure === undefined) throw new Error('no figure 8');
  const crossesOf = async (set: RunSet) => {
    const texts = textsOf(await svgOf('8', specOf(figure, contextOf(set, 'en', false))));
    return texts.filter((text) => text === '×').length;
  };
  const place = (paperRowGib: number, engine: string) => ({
    set: 'synthetic',
    scenario: 'rw',
    paperRowGib,
    engine,
  });
  const run = syntheticSet({ scenarios: ['rw'], paperRowsGib: [16], engines: ['precopy', 'restore'] });
  const set = (...planned: RunSet['planned']): RunSet => ({ ...run, planned, recordedPlans: ['synthetic'] });
  // One row was planned, and run.
  t.is(await crossesOf(set()), 0);
  // Another engine in another row: of the four cells that rows and engines would make more of, one was planned.
  t.is(await crossesOf(set(place(8, 'xbzrle'))), 1);
  t.is(await crossesOf({ ...set(place(8, 'xbzrle')), recordedPlans: [] }), 4);
  // Two repeats of a cell without a run are one cross; a further repeat of a cell that has a run is none.
  t.is(await crossesOf(set(place(8, 'restore'), place(8, 'restore'), place(16, 'precopy'))), 1);
  // The record of one set says nothing of another.
  const other = run.runs.map((one) => ({ ...one, set: 'other' }));
  const elsewhere = { ...place(8, 'xbzrle'), set: 'other' };
  t.is(await crossesOf({ ...set(elsewhere), runs: other }), 4);
});

test('a figure of nothing but zeros has a zero on its axis', async (t) => {
  const set = syntheticSet({ scenarios: ['rw'], paperRowsGib: [16], engines: ['precopy', 'restore'] });
  const zeros = set.runs.map((run) => ({ ...run, row: { ...run.row, downtime_stop_resume_ms: 0 } }));
  const figure = figures.find(({ name }) => name === 'figure-07-downtime');
  if (figure === undefined) throw new Error('no figure 7');
  const texts = textsOf(await svgOf('7', specOf(figure, contextOf({ ...set, runs: zeros }, 'en', false))));
  const numbers = texts.filter((text) => /^[\d.,]+$/.test(text));
  // On the axis, and above the bars.
  t.deepEqual(new Set(numbers), new Set(['0', '0.00']));
});

test('an engine that the report has never heard of has its place', async (t) => {
  const set = syntheticSet({ engines: ['precopy', 'restore', 'teleport'] });
  for (const figure of figures) {
    await t.notThrowsAsync(svgOf(figure.name, specOf(figure, contextOf(set, 'en', true))), figure.name);
  }
});

test('what is wrong in a specification is an error, not a figure', async (t) => {
  const spec = { data: { values: [] }, mark: 'bar', encoding: { x: { field: 'a', type: 'nonsense' } } };
  await t.throwsAsync(svgOf('broken', spec), { code: 'not-drawn' });
});

test('recorded runs: remaining memory falls by the listed pages once the list is there', async (t) => {
  const { runs } = await readSet([path.join(import.meta.dirname, '../testing/fixtures/verified')]);
  const [run] = runs;
  if (run === undefined) throw new Error('no fixture');
  const listedMs = run.events.find((event) => event.event === 'engine' && event.name === 'listed')?.tMs ?? 0;
  const points = remainingBytes(run);
  const before = points.findLast(({ tMs }) => tMs < listedMs)?.value ?? 0;
  const after = points.find(({ tMs }) => tMs >= listedMs)?.value ?? 0;
  const leftOut = (run.row.pages_left_out ?? 0) * 4096;
  t.true(Math.abs(before - after - leftOut) < 0.1 * leftOut);
  t.true(points.every(({ value }) => value >= 0));
});

test('a run that has not begun to migrate has no phases to draw', (t) => {
  const figure = figures.find(({ name }) => name === 'extra-05-phases');
  if (figure === undefined) throw new Error('no phases');
  const { runs, ...set } = syntheticSet({ scenarios: ['rw'], paperRowsGib: [16], engines: ['precopy'] });
  const begun = runs.map((run) => ({
    ...run,
    row: {
      ...run.row,
      total_time_ms: undefined,
      downtime_stop_resume_ms: undefined,
      tps_recovery_ms: undefined,
    },
    events: [],
    series: new Map(),
  }));
  t.is(drawnFigure(figure, contextOf({ ...set, runs: begun }, 'en', false)), undefined);
});

test('TPC-C has its place in figures of all loads', async (t) => {
  const figure = figures.find(({ name }) => name === 'figure-08-total-time');
  if (figure === undefined) throw new Error('no figure 8');
  const set = syntheticSet({ scenarios: ['tpcc'], paperRowsGib: [16] });
  const texts = textsOf(await svgOf('8', specOf(figure, contextOf(set, 'en', false))));
  t.true(texts.includes('TPC-C'));
});

test('figure 8 shows where the paper’s gain would be', (t) => {
  const figure = figures.find(({ name }) => name === 'figure-08-total-time');
  if (figure === undefined) throw new Error('no figure 8');
  const set = syntheticSet({ scenarios: ['rw'], paperRowsGib: [16] });
  const precopy = set.runs.find(({ row }) => row.engine === 'precopy')?.row.total_time_ms ?? 0;
  const drawn = drawnFigure(figure, contextOf(set, 'en', false));
  const rows = (drawn?.spec as { readonly data: { readonly values: readonly Spec[] } }).data.values;
  t.deepEqual(
    rows.filter(({ kind }) => kind === 'paper').map(({ engine, low, high }) => ({ engine, low, high })),
    [{ engine: 'restore', low: precopy / 2300, high: precopy / 1300 }],
  );
  t.true(drawn?.caption.notes.includes('1.3 to 2.3'));
});

test('latency is that of all transactions where runs recorded it, and of seconds where not', (t) => {
  const figure = figures.find(({ name }) => name === 'extra-02-latency');
  if (figure === undefined) throw new Error('no latency');
  const { runs, ...set } = syntheticSet({ scenarios: ['rw'], paperRowsGib: [16], engines: ['precopy'] });
  const notesOf = (of: RunSet['runs']): string =>
    drawnFigure(figure, contextOf({ ...set, runs: of }, 'en', false))?.caption.notes ?? '';
  t.regex(notesOf(runs), /Each second’s 95th percentile/);
  const measured = {
    latency_p50_before_ms: 20,
    latency_p95_before_ms: 40,
    latency_p99_before_ms: 60,
  };
  t.regex(
    notesOf(runs.map((run) => ({ ...run, row: { ...run.row, ...measured } }))),
    /All transactions of the span/,
  );
});

test('lines of a caption are no wider than the plot, in both languages', (t) => {
  for (const language of languages) {
    for (const figure of figures) {
      const { title } = specOf(figure, contextOf(grid, language, false)) as {
        readonly title: { readonly subtitle: readonly string[] };
      };
      for (const line of title.subtitle) t.true(textWidth(line, 10) < 1100, `${figure.name}: ${line}`);
    }
  }
});

test('with many methods no legend is wider than its plot by much, and no name runs into the next', async (t) => {
  const set = syntheticSet({ scenarios: ['rw'], paperRowsGib: [16], engines: engineNames });
  for (const name of ['figure-14-remaining-memory-rw', 'extra-01-downtime-ways', 'extra-02-latency']) {
    const figure = figures.find((one) => one.name === name);
    if (figure === undefined) throw new Error(`no ${name}`);
    const svg = await svgOf(name, specOf(figure, contextOf(set, 'en', false)));
    const width = Number(/ width="(\d+)"/.exec(svg)?.[1]);
    t.true(width > 400 && width < 1250, `${name} is ${width} wide`);
    if (name.startsWith('extra-01')) t.regex(svg, /rotate\(330\)[^>]*>multifd-zstd-stepped</);
  }
});

test('a downtime of half an hour has ticks around it', async (t) => {
  const figure = figures.find(({ name }) => name === 'extra-01-downtime-ways');
  if (figure === undefined) throw new Error('no such figure');
  const set = syntheticSet({ scenarios: ['rw'], paperRowsGib: [16] });
  const runs = set.runs.map((run, index) =>
    index === 0 ? { ...run, row: { ...run.row, downtime_client_ms: 1.8e6 } } : run,
  );
  const texts = textsOf(await svgOf(figure.name, specOf(figure, contextOf({ ...set, runs }, 'en', false))));
  t.true(texts.includes('1,000,000'));
});
