import test from 'ava';
import { syntheticSet } from '../testing/synthetic-set.ts';
import { runsSection } from './page.ts';

const headsOf = (html: string): string[] =>
  // The names of runs are no words.
  [...html.matchAll(/<th[^>]*>([^<]*)<\/th>/g)].flatMap(([, head = '']) =>
    /-r\d+$/.test(head) ? [] : [head],
  );

test('tables of runs and conditions are in the language of the page', (t) => {
  const [english, japanese] = (['en', 'ja'] as const).map((language) =>
    headsOf(runsSection(syntheticSet({}), language)),
  );
  t.true(english?.includes('efficiency'));
  t.true(english?.includes('link rate'));
  t.is(japanese?.length, english?.length);
  // Names of programs are the same in both.
  t.deepEqual(
    japanese?.filter((head) => english?.includes(head)),
    ['DBMS', 'QEMU'],
  );
});
