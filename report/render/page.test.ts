import test from 'ava';
import { syntheticSet } from '../testing/synthetic-set.ts';
import { figures } from '../figures/all.ts';
import { pageStyle } from './page-assets.ts';
import { pageOf, runsSection } from './page.ts';

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

test('without JavaScript each figure is named with its file; a page that follows a run says that it cannot', async (t) => {
  const set = syntheticSet({ scenarios: ['rw'], paperRowsGib: [8] });
  const linksOf = (page: string) =>
    [...page.matchAll(/<noscript><p><a href="([^"]+)"/g)].map(([, file]) => file);
  const page = await pageOf(set, 'en');
  const sections = [...page.matchAll(/<section id="([^"]+)"><h2>[^<]*<\/h2><figure>/g)].map(
    ([, name]) => name,
  );
  t.true(sections.length > 5 && sections.length < figures.length);
  t.deepEqual(
    linksOf(page),
    sections.map((name) => `${name ?? ''}.svg`),
  );
  t.regex(page, /<noscript><p class="remark">JavaScript is off, so no figure is drawn here/);
  const live = await pageOf(set, 'en', { before: '', script: '', style: '' });
  t.deepEqual(linksOf(live), []);
  t.regex(live, /<noscript><p class="remark">JavaScript is off: this page cannot follow the run/);
});

test('on paper nothing is cut off to be scrolled to, and nothing is light on white', (t) => {
  const style = pageStyle('sans-serif');
  const print = style.slice(style.indexOf('@media print'));
  t.regex(print, /#runs-content \.wide \{ overflow: visible; max-height: none; \}/);
  for (const [, medium] of style.matchAll(/@media (.*)\(prefers-color-scheme: dark\)/g))
    t.is(medium, 'screen and ');
});
