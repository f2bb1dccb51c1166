import test from 'ava';
import { DirtyPass } from './dirty-pass.ts';

function records(pass: DirtyPass, pages: readonly number[], blockIndex = 0): void {
  for (const page of pages) pass.record(blockIndex, page);
}

test('it ends with the second step back after QEMU was let go', (t) => {
  const pass = new DirtyPass();
  records(pass, [0, 1, 2, 3, 1, 2, 0, 3]);
  t.false(pass.through, 'steps back before count for nothing');
  pass.begin(1000);
  pass.at(1500);
  records(pass, [4, 5, 0, 2, 9]);
  t.false(pass.through);
  records(pass, [1]);
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

test('what may have waited in the socket counts as one step back', (t) => {
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
