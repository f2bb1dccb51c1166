import test from 'ava';
import { syntheticSet } from '../testing/synthetic-set.ts';
import { resultsHtml } from './headline.ts';

const { runs, ...rest } = syntheticSet({ scenarios: ['rw'], paperRowsGib: [8], repeats: 3 });

/** The same runs, of which some of pre-copy did not converge. */
const cut = (isCut: (repeat: number) => boolean) => ({
  ...rest,
  runs: runs.map((run) =>
    run.row.engine === 'precopy' && isCut(run.row.repeat)
      ? { ...run, row: { ...run.row, outcome: 'not-converged' as const, total_time_ms: undefined } }
      : run,
  ),
});

test('the time of the runs that converged is not the cell’s: how many they are stands beside it', (t) => {
  const inPart = resultsHtml(
    cut((repeat) => repeat > 1),
    'en',
  );
  t.regex(inPart, /<td class="number">1 of 3 converged<\/td>/);
  t.regex(inPart, /Did not converge: [^.]+ \(1 of 3 converged\)\./);
  const japanese = resultsHtml(
    cut((repeat) => repeat > 1),
    'ja',
  );
  t.true(japanese.includes('3 回中 1 回収束'));
  for (const isCut of [() => true, () => false])
    t.false(resultsHtml(cut(isCut), 'en').includes('of 3 converged'));
});

test('two VMs that were moved at once are one run, and what either lost is lost', (t) => {
  const both = runs.flatMap((run) => [
    { ...run, row: { ...run.row, vm: 0, ledger_lost: 0 } },
    { ...run, row: { ...run.row, vm: 1, ledger_lost: run.name.endsWith('precopy-r1') ? 1 : 0 } },
  ]);
  t.regex(resultsHtml({ ...rest, runs: both }, 'en'), /1 acknowledged commit was lost in 6 runs\./);
});

test('runs that were planned and not made are told apart from those that do not count', (t) => {
  const failed = { name: 'rw-8-restore-r4', reason: 'failed: the target ended' };
  const missing = {
    name: 'rw-8-restore-r5',
    reason: 'was planned, and there is no run of it',
    neverBegun: true,
  } as const;
  const lead = (leftOut: typeof rest.leftOut): string => resultsHtml({ ...rest, runs, leftOut }, 'en');
  t.regex(lead([missing, missing]), /2 planned runs have not been made yet\./);
  t.notRegex(lead([missing]), /not in these numbers/);
  t.regex(lead([failed, missing]), /1 planned run has not been made yet\. 1 run is not in these numbers/);
  t.notRegex(lead([failed]), /planned/);
});

test('of a run that failed and is taken all the same it is said that it failed', (t) => {
  const failed = runs.map((run) =>
    run.name === 'rw-8-restore-r2' ? { ...run, row: { ...run.row, outcome: 'failed' as const } } : run,
  );
  t.regex(
    resultsHtml({ ...rest, runs: failed }, 'en'),
    /Failed, with numbers all the same: rw-8-restore-r2\./,
  );
});

test('what a run lost that failed for it is lost, though it is in no number', (t) => {
  const leftOut = [{ name: 'rw-8-restore-r4', reason: 'failed: ledger', lost: 3 }];
  const sound = runs.map((run) => ({ ...run, row: { ...run.row, ledger_lost: 0 } }));
  const html = resultsHtml({ ...rest, runs: sound, leftOut }, 'en');
  t.regex(html, /3 acknowledged commits were lost in 7 runs\. 1 run is not in these numbers/);
});
