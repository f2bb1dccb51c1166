import test from 'ava';
import { Trickle } from './trickle.ts';

const linkBytesPerSecond = 15_000_000;

test('QEMU that is held is read until a part of its stream has ended, and then waits', (t) => {
  const trickle = new Trickle();
  trickle.update(true, 0);
  t.false(trickle.isOpen);
  trickle.update(true, 500);
  t.true(trickle.isOpen);
  trickle.taken(40, 0, 501, linkBytesPerSecond);
  t.true(trickle.isOpen);
  trickle.taken(24, 1, 502, linkBytesPerSecond);
  t.false(trickle.isOpen);
  // 64 pages are 4 % of what this link carries in 437 ms.
  trickle.update(true, 502 + 430);
  t.false(trickle.isOpen);
  trickle.update(true, 502 + 440);
  t.true(trickle.isOpen);
});

test('a faster link lets QEMU go on sooner, one that is not known after half a second', (t) => {
  for (const [rate, waitMs] of [
    [1.25e9, 50],
    [0, 500],
  ] as const) {
    const trickle = new Trickle();
    trickle.update(true, 0);
    trickle.update(true, 500);
    trickle.taken(64, 1, 500, rate);
    trickle.update(true, 500 + waitMs - 1);
    t.false(trickle.isOpen);
    trickle.update(true, 500 + waitMs);
    t.true(trickle.isOpen);
  }
});

test('QEMU that finds nothing dirty is left alone for long, and one that is not held is not of its business', (t) => {
  const trickle = new Trickle();
  trickle.update(true, 0);
  trickle.update(true, 500);
  trickle.taken(0, 300, 501, linkBytesPerSecond);
  trickle.update(true, 5000);
  t.false(trickle.isOpen);
  trickle.update(true, 5501);
  t.true(trickle.isOpen);
  trickle.update(false, 5502);
  t.false(trickle.isOpen);
  trickle.update(true, 6000);
  t.false(trickle.isOpen);
});
