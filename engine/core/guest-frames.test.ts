import test from 'ava';
import { GuestFrames } from './guest-frames.ts';

const pagesPerGiB = 0x40000;

test('memory that ends below 4 GiB lies in the block as in the guest', (t) => {
  const frames = new GuestFrames(
    [
      [1, 0x9f],
      [0x100, 2 * pagesPerGiB - 1],
    ],
    2 * pagesPerGiB,
  );
  t.is(frames.pageOf(0), 0);
  t.is(frames.pageOf(2 * pagesPerGiB - 1), 2 * pagesPerGiB - 1);
  t.is(frames.pageOf(2 * pagesPerGiB), -1);
  t.is(frames.pageOf(0x100000), -1);
});

test('memory above 4 GiB follows what lies below', (t) => {
  // q35 with 6 GiB: 2 GiB below 4 GiB.
  const frames = new GuestFrames(
    [
      [0x100, 0x7ffdb],
      [0x100000, 0x1fffff],
    ],
    6 * pagesPerGiB,
  );
  t.is(frames.lowPages, 2 * pagesPerGiB);
  t.is(frames.pageOf(0x7ffff), 0x7ffff);
  t.is(frames.pageOf(0x80000), -1);
  t.is(frames.pageOf(0xfffff), -1);
  t.is(frames.pageOf(0x100000), 2 * pagesPerGiB);
  t.is(frames.pageOf(0x1fffff), 6 * pagesPerGiB - 1);
  t.is(frames.pageOf(0x200000), -1);
});

test('a guest that names more memory than there is gets nothing outside of the block', (t) => {
  const frames = new GuestFrames([[0, 0xffffffff]], 1000);
  for (const frame of [0, 999, 1000, 0xfffff, 0x100000, 0x1003e7, 0x1003e8, 0xffffffff]) {
    const page = frames.pageOf(frame);
    t.true(page >= -1 && page < 1000);
  }
});
