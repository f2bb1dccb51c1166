import test from 'ava';
import { inDoubtAtDestination, inDoubtAtSource } from './advice.ts';

const recovery = /poolshift recover.*migrate-recover.*poolshift-engine recover/;

test('in doubt about an early resume both ends say to keep the QEMU at the source, and how to recover', (t) => {
  for (const qemu of ['waits', 'closed-early'] as const) {
    const advice = inDoubtAtSource(qemu, true);
    t.regex(advice, /keep the QEMU here/, qemu);
    t.regex(advice, recovery, qemu);
  }
  const advice = inDoubtAtDestination(true);
  t.regex(advice, /QEMU of the source host must not run it, and is to be kept/);
  t.regex(advice, recovery);
});

test('a migration whose memory is all at one end or the other is not recovered', (t) => {
  const ends = ['waits', 'completes', 'completed', 'closed-early'] as const;
  for (const advice of [...ends.map((qemu) => inDoubtAtSource(qemu, false)), inDoubtAtDestination(false)])
    t.notRegex(advice, /recover/);
});
