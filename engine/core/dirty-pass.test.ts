import test from 'ava';
import { DirtyPass } from './dirty-pass.ts';

function records(pass: DirtyPass, pages: readonly number[], blockIndex = 0): void {
  for (const page of pages) pass.record(blockIndex, page);
}

test('it ends when QEMU has passed the place where it was held for the second time', (t) => {
  const pass = new DirtyPass();
  records(pass, [0, 1, 2, 3, 1, 2, 0, 3]);
  t.false(pass.through, 'steps back before count for nothing');
  pass.begin(1000);
  pass.at(1500);
  records(pass, [4, 5, 0, 2, 9]);
  t.false(pass.through);
  records(pass, [1, 3]);
  t.false(pass.through, 'it may have looked for dirty pages here, one round ago');
  records(pass, [4]);
  t.true(pass.through);
});

test('it ends with the third step back where nothing is dirty beyond that place', (t) => {
  const pass = new DirtyPass();
  records(pass, [90]);
  pass.begin(1000);
  pass.at(1500);
  records(pass, [91, 7, 8, 7, 8]);
  t.false(pass.through);
  records(pass, [7]);
  t.true(pass.through);
});

test('an earlier block is a step back, a later one is none', (t) => {
  const pass = new DirtyPass();
  pass.begin(0);
  pass.at(200);
  records(pass, [7], 0);
  records(pass, [3], 1);
  records(pass, [8], 0);
  t.false(pass.through);
  records(pass, [2], 2);
  records(pass, [9], 1);
  t.true(pass.through);
});

test('what may have waited in the socket counts as one step back at most', (t) => {
  const pass = new DirtyPass();
  pass.begin(0);
  pass.at(50);
  records(pass, [5, 1, 5, 1, 5, 1]);
  pass.partEnds();
  pass.partEnds();
  t.false(pass.through);
  pass.at(120);
  records(pass, [6]);
  t.false(pass.through);
  records(pass, [2]);
  t.true(pass.through);
});

test('a part without pages says that nothing is dirty', (t) => {
  const pass = new DirtyPass();
  pass.partEnds();
  pass.begin(0);
  pass.at(100);
  records(pass, [5]);
  pass.partEnds();
  t.false(pass.through);
  pass.partEnds();
  t.true(pass.through);
});

test('after one that has ended, another begins anew', (t) => {
  const pass = new DirtyPass();
  pass.begin(0);
  pass.at(200);
  records(pass, [5, 1, 3, 2]);
  t.true(pass.through);
  pass.end();
  t.false(pass.through);
  records(pass, [1, 4, 2, 1]);
  t.false(pass.through, 'QEMU was not let go');
  pass.begin(1000);
  pass.at(1050);
  records(pass, [0, 3, 1]);
  t.false(pass.through, 'that waited');
  pass.at(1200);
  records(pass, [4, 2]);
  t.true(pass.through);
});
