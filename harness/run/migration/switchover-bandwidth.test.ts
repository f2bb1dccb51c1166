import test from 'ava';
import { SwitchoverBandwidth } from './switchover-bandwidth.ts';

const linkRate = 2_000_000;

/** What was sent within each step, raw and over the link, as the engine counts it: sums, and the ratio of the sums. */
function told(steps: readonly (readonly [rawBytes: number, linkBytes: number])[]): (number | undefined)[] {
  const bandwidth = new SwitchoverBandwidth(linkRate);
  let raw = 0;
  let link = 0;
  return steps.map(([rawBytes, linkBytes]) => {
    raw += rawBytes;
    link += linkBytes;
    return bandwidth.update({
      migration_link_bytes: link,
      compression_ratio_total: link === 0 ? 1 : raw / link,
    });
  });
}

test('what is sent as it is crosses at the rate of the link, which QEMU knows already', (t) => {
  t.deepEqual(
    told([
      [0, 0],
      [1000, 1000],
      [2000, 2000],
      [0, 0],
      [100, 100],
    ]),
    [undefined, undefined, undefined, undefined, undefined],
  );
});

test('what is compressed crosses faster, by its ratio', (t) => {
  t.deepEqual(
    told([
      [0, 0],
      [4000, 1000],
      [4000, 1000],
    ]),
    [undefined, 4 * linkRate, undefined],
  );
});

test('the ratio is that of the last seconds, and a moment does not decide it', (t) => {
  const steady = Array.from({ length: 30 }, () => [2000, 1000] as const);
  t.is(told([...steady, [9000, 1000]]).at(-1), Math.round((linkRate * (14 * 2000 + 9000)) / 15_000));
  const later = told([...steady, ...Array.from({ length: 15 }, () => [5000, 1000] as const)]);
  t.true(Math.abs((later.findLast((value) => value !== undefined) ?? 0) - 5 * linkRate) < 0.1 * 5 * linkRate);
});

test('counters that say nothing change nothing', (t) => {
  t.is(new SwitchoverBandwidth(linkRate).update({}), undefined);
  t.is(new SwitchoverBandwidth(linkRate).update({ migration_link_bytes: 5 }), undefined);
});

test('where processors are scarce, what they let through counts', (t) => {
  const bandwidth = new SwitchoverBandwidth(linkRate);
  const counters = (bytes: number, carry: number) => ({
    migration_link_bytes: bytes,
    compression_ratio_total: 1,
    processors_carry_bytes_per_second: carry,
  });
  t.is(bandwidth.update(counters(0, 0)), undefined);
  t.is(bandwidth.update(counters(1000, linkRate / 5)), linkRate / 5);
  t.is(bandwidth.update(counters(2000, 0)), linkRate, 'the link is scarce again');
});
