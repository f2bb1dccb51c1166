import test from 'ava';
import { syntheticSet } from '../testing/synthetic-set.ts';
import { claimsHtml, claimsMarkdown } from './claims-table.ts';
import { findingsOf, type Finding } from './claims.ts';

const finding = (findings: readonly Finding[], id: string): Finding => {
  const found = findings.find((candidate) => candidate.id === id);
  if (found === undefined) throw new Error(`no ${id}`);
  return found;
};

test('without runs every claim is missing', (t) => {
  const findings = findingsOf({ runs: [] }, 'en');
  t.is(findings.length, 11);
  t.true(findings.every(({ verdict, measured }) => verdict === 'missing' && measured === ''));
  t.regex(claimsMarkdown(findings, 'en'), /– +\| 0 \/ 12 \| missing/);
});

test('claims follow the data', (t) => {
  const findings = findingsOf(syntheticSet({ noise: 0.01, repeats: 3 }), 'en');
  t.is(finding(findings, 'total-time-shorter').verdict, 'holds');
  t.is(finding(findings, 'downtime-alike').verdict, 'holds');
  t.is(finding(findings, 'waits-for-storage').verdict, 'holds');
  t.is(finding(findings, 'recovers-sooner').verdict, 'holds');
  t.is(finding(findings, 'sending-the-list-dominates').verdict, 'does-not-hold');
  t.deepEqual(finding(findings, 'tps-drops').cells, { measured: 8, wanted: 8 });

  const slow = findingsOf(syntheticSet({ noise: 0.01, repeats: 3, slower: { restore: 1.6 } }), 'en');
  t.is(finding(slow, 'total-time-shorter').verdict, 'does-not-hold');
});

test('fewer than three runs of a cell say what these runs say, and that they are few', (t) => {
  const findings = findingsOf(syntheticSet({ noise: 0.01, repeats: 2 }), 'en');
  t.true(findings.every(({ verdict, measured }) => verdict.endsWith('-in-single-runs') && measured !== ''));
  t.is(finding(findings, 'total-time-shorter').verdict, 'holds-in-single-runs');
  t.is(finding(findings, 'sending-the-list-dominates').verdict, 'does-not-hold-in-single-runs');
  t.regex(claimsMarkdown(findings, 'en'), /does not hold in these runs \(fewer than 3 per cell\)/);
});

test('cells that were not run are not counted', (t) => {
  const findings = findingsOf(syntheticSet({ scenarios: ['rw'], memorySizes: [4, 8] }), 'en');
  t.deepEqual(finding(findings, 'total-time-shorter').cells, { measured: 2, wanted: 12 });
  const half = syntheticSet({ engines: ['restore'] });
  t.is(finding(findingsOf(half, 'en'), 'total-time-shorter').verdict, 'missing');
});

test('the denominator is the paper’s, whatever was planned', (t) => {
  const planned = [4, 8, 24].map((memGib) => ({
    set: 'synthetic',
    scenario: 'rw',
    memGib,
    engine: 'precopy',
  }));
  const set = {
    ...syntheticSet({ scenarios: ['rw'], memorySizes: [16] }),
    planned,
    recordedPlans: ['synthetic'],
  };
  t.deepEqual(finding(findingsOf(set, 'en'), 'total-time-shorter').cells, { measured: 1, wanted: 12 });
});

test('text from data cannot break the tables', (t) => {
  const [first] = findingsOf({ runs: [] }, 'en');
  if (first === undefined) throw new Error('no claims');
  const odd = [{ ...first, measured: '<b> | 1' }];
  t.true(claimsHtml(odd, 'en').includes('&#60;b&#62; | 1'));
  t.true(claimsMarkdown(odd, 'en').includes('<b> \\| 1'));
});
