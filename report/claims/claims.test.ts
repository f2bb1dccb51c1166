import test from 'ava';
import { syntheticSet } from '../testing/synthetic-set.ts';
import { claimsHtml, claimsMarkdown } from './claims-table.ts';
import { paperClaimsOf, type JudgedPaperClaim } from './claims.ts';

const claim = (claims: readonly JudgedPaperClaim[], id: string): JudgedPaperClaim => {
  const found = claims.find((candidate) => candidate.id === id);
  if (found === undefined) throw new Error(`no ${id}`);
  return found;
};

test('without runs every claim is missing', (t) => {
  const claims = paperClaimsOf({ runs: [] }, 'en');
  t.is(claims.length, 11);
  t.true(claims.every(({ verdict, measured }) => verdict === 'missing' && measured === ''));
  t.regex(claimsMarkdown(claims, 'en'), /– +\| 0 \/ 12 \| missing/);
});

test('claims follow the data', (t) => {
  const claims = paperClaimsOf(syntheticSet({ noise: 0.01, repeats: 3 }), 'en');
  t.is(claim(claims, 'total-time-shorter').verdict, 'holds');
  t.is(claim(claims, 'downtime-alike').verdict, 'holds');
  t.is(claim(claims, 'waits-for-storage').verdict, 'holds');
  t.is(claim(claims, 'recovers-sooner').verdict, 'holds');
  t.is(claim(claims, 'sending-the-list-dominates').verdict, 'does-not-hold');
  t.deepEqual(claim(claims, 'tps-drops').cells, { measured: 8, wanted: 8 });

  const slow = paperClaimsOf(syntheticSet({ noise: 0.01, repeats: 3, slower: { restore: 1.6 } }), 'en');
  t.is(claim(slow, 'total-time-shorter').verdict, 'does-not-hold');
});

test('fewer than three runs of a cell say what these runs say, and that they are few', (t) => {
  const claims = paperClaimsOf(syntheticSet({ noise: 0.01, repeats: 2 }), 'en');
  t.true(claims.every(({ verdict, measured }) => verdict.endsWith('-in-single-runs') && measured !== ''));
  t.is(claim(claims, 'total-time-shorter').verdict, 'holds-in-single-runs');
  t.is(claim(claims, 'sending-the-list-dominates').verdict, 'does-not-hold-in-single-runs');
  t.regex(claimsMarkdown(claims, 'en'), /does not hold in these runs \(fewer than 3 per cell\)/);
});

test('a cell has as many values as runs that have what is measured, and not as runs', (t) => {
  const { runs } = syntheticSet({ noise: 0.01, repeats: 3 });
  const cut = runs.map((run) =>
    run.name === 'rw-8-precopy-r2'
      ? { ...run, row: { ...run.row, outcome: 'not-converged' as const, total_time_ms: undefined } }
      : run,
  );
  const claims = paperClaimsOf({ runs: cut }, 'en');
  t.is(claim(claims, 'storage-link-used').verdict, 'holds-in-single-runs');
  t.is(claim(claims, 'total-time-shorter').verdict, 'holds', 'it took its time limit at the least');
  t.is(claim(claims, 'tps-drops').verdict, 'holds', 'its throughput was measured');
  t.is(claim(claims, 'sending-the-list-dominates').verdict, 'does-not-hold', 'restore has three lists');
});

test('two VMs that were moved at once are no two repeats', (t) => {
  const { runs } = syntheticSet({ noise: 0.01, repeats: 2 });
  const withSecond = runs.flatMap((run) => [
    { ...run, row: { ...run.row, vms: 2, vm: 0 } },
    { ...run, row: { ...run.row, vms: 2, vm: 1, total_time_ms: 1 } },
  ]);
  t.deepEqual(paperClaimsOf({ runs: withSecond }, 'en'), paperClaimsOf({ runs }, 'en'));
});

test('bytes of a migration that was cancelled are not those that it takes', (t) => {
  const { runs } = syntheticSet({ scenarios: ['rw'], paperRowsGib: [8], repeats: 3 });
  const cut = runs.map((run) =>
    run.row.engine === 'precopy' && run.row.repeat > 1
      ? {
          ...run,
          row: {
            ...run.row,
            outcome: 'not-converged' as const,
            total_time_ms: undefined,
            migration_link_bytes: 1e12,
          },
        }
      : run,
  );
  const completed = cut.filter(({ row }) => row.outcome === 'completed');
  const rise = claim(paperClaimsOf({ runs: cut }, 'en'), 'total-bytes-rise');
  const ofCompleted = claim(paperClaimsOf({ runs: completed }, 'en'), 'total-bytes-rise').measured;
  t.is(rise.measured, `${ofCompleted}; pre-copy did not converge: rw 8 (2 / 3)`);
  t.true(rise.verdict.endsWith('-in-single-runs'));
});

test('a restore that did not converge is no gain, and a pre-copy one of its time limit at the least', (t) => {
  const { runs } = syntheticSet({ scenarios: ['rw'], paperRowsGib: [4, 8], repeats: 3, noise: 0.01 });
  const cutIn = (engine: string, paperRowGib: number, repeats: readonly number[]) =>
    runs.map((run) => {
      const isCut = run.row.engine === engine && run.row.paper_row_gib === paperRowGib;
      if (!isCut || !repeats.includes(run.row.repeat)) return run;
      const outcome = 'not-converged' as const;
      return {
        ...run,
        row: { ...run.row, outcome, total_time_ms: undefined, downtime_stop_resume_ms: undefined },
      };
    });
  for (const repeats of [[2], [1, 2, 3]]) {
    const claims = paperClaimsOf({ runs: cutIn('restore', 8, repeats) }, 'en');
    const trace = repeats.length === 3 ? /; restore did not converge: rw 8$/ : / rw 8 \(1 \/ 3\)$/;
    for (const id of ['downtime-alike', 'total-time-shorter', 'more-with-memory']) {
      t.is(claim(claims, id).verdict, 'does-not-hold', id);
      t.regex(claim(claims, id).measured, trace);
      t.notRegex(claim(claims, id).measured, /Infinity|0\.00/);
    }
  }
  const claims = paperClaimsOf({ runs: cutIn('precopy', 8, [1, 2, 3]) }, 'en');
  t.like(claim(claims, 'total-time-shorter'), { verdict: 'holds', cells: { measured: 2, wanted: 12 } });
  t.regex(claim(claims, 'total-time-shorter').measured, /; pre-copy did not converge: rw 8$/);
  t.is(claim(claims, 'more-with-memory').verdict, 'missing', 'gains of which each is at least so much');
  t.is(claim(claims, 'downtime-alike').cells.measured, 1);
});

test('cells that were not run are not counted', (t) => {
  const claims = paperClaimsOf(syntheticSet({ scenarios: ['rw'], paperRowsGib: [4, 8] }), 'en');
  t.deepEqual(claim(claims, 'total-time-shorter').cells, { measured: 2, wanted: 12 });
  const half = syntheticSet({ engines: ['restore'] });
  t.is(claim(paperClaimsOf(half, 'en'), 'total-time-shorter').verdict, 'missing');
});

test('the denominator is the paper’s, whatever was planned', (t) => {
  const planned = [4, 8, 24].map((paperRowGib) => ({
    set: 'synthetic',
    scenario: 'rw',
    paperRowGib,
    engine: 'precopy',
  }));
  const set = {
    ...syntheticSet({ scenarios: ['rw'], paperRowsGib: [16] }),
    planned,
    recordedPlans: ['synthetic'],
  };
  t.deepEqual(claim(paperClaimsOf(set, 'en'), 'total-time-shorter').cells, { measured: 1, wanted: 12 });
});

test('throughput that never came back is later than any that did, and with pre-copy not before the load ended', (t) => {
  const recovery = (engine: string, recoveryMs: number | undefined, measurable = true) => {
    const { runs } = syntheticSet({ scenarios: ['rw'], paperRowsGib: [8], repeats: 3 });
    const changed = runs.map((run) =>
      run.row.engine === engine && run.row.repeat === 2
        ? {
            ...run,
            row: { ...run.row, tps_recovery_ms: recoveryMs, tps_recovery_measurable: measurable },
            series: new Map([['client tps', [{ tMs: 300_000, value: 1 }]]]),
          }
        : run,
    );
    return claim(paperClaimsOf({ runs: changed }, 'en'), 'recovers-sooner');
  };
  t.is(recovery('restore', 60_000).verdict, 'holds');
  t.like(recovery('restore', undefined), { verdict: 'does-not-hold', measured: '−∞ s' });
  t.true(recovery('restore', undefined, false).verdict.startsWith('holds'));

  // Of pre-copy the soonest counts, which this is not.
  t.is(recovery('precopy', undefined).measured, recovery('precopy', 300_000).measured);
  const { runs } = syntheticSet({ scenarios: ['rw'], paperRowsGib: [8], repeats: 3 });
  const never = runs.map((run) => ({
    ...run,
    row: { ...run.row, tps_recovery_ms: run.row.engine === 'precopy' ? undefined : 60_000 },
    series: new Map([['client tps', [{ tMs: 300_000, value: 1 }]]]),
  }));
  t.like(claim(paperClaimsOf({ runs: never }, 'en'), 'recovers-sooner'), {
    verdict: 'holds',
    measured: '240.0 s',
    cells: { measured: 1, wanted: 8 },
  });
});

test('text from data cannot break the tables', (t) => {
  const [first] = paperClaimsOf({ runs: [] }, 'en');
  if (first === undefined) throw new Error('no claims');
  const odd = [{ ...first, measured: '<b> | 1' }];
  t.true(claimsHtml(odd, 'en').includes('&#60;b&#62; | 1'));
  t.true(claimsMarkdown(odd, 'en').includes('<b> \\| 1'));
});
