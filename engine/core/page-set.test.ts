import test from 'ava';
import fc from 'fast-check';
import { PageSet } from './page-set.ts';

test('a set holds the pages that were added and not deleted, and knows which others would make it whole', (t) => {
  const pages = fc.uniqueArray(fc.nat(36), { maxLength: 37 });
  const asSet = (limit: number, of: readonly number[]): PageSet => {
    const set = new PageSet(limit);
    for (const page of of) if (page < limit) t.true(set.add(page));
    return set;
  };
  let covered = 0;
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 37 }), pages, pages, pages, (limit, here, extra, excepted) => {
      const all = Array.from({ length: limit }, (_, page) => page);
      // Often nothing is missing, else this would be all but never true.
      const others = extra.length % 2 === 0 ? extra : all.filter((page) => !here.includes(page));
      const set = asSet(limit, here);
      for (const page of all) t.is(set.has(page), here.includes(page));
      for (const without of [[], excepted]) {
        const expected = all.every(
          (page) => here.includes(page) || (others.includes(page) && !without.includes(page)),
        );
        t.is(set.lacksOnly(asSet(limit, others), asSet(limit, without)), expected);
        if (expected) covered += 1;
      }
      t.is(set.lacksOnly(asSet(0, []), asSet(0, [])), here.filter((page) => page < limit).length === limit);
      for (const page of here) if (page < limit) t.true(set.delete(page) && !set.delete(page));
    }),
  );
  t.true(covered > 20, `${covered}`);
});
