import test from 'ava';
import { StreamReader } from '../stream/reader.ts';
import { fixtureNames, readFixture } from '../stream/testing/fixtures.ts';
import { StreamEnd } from './stream-end.ts';

/** The part of a stream after RAM. */
function deviceState(stream: Buffer): Buffer {
  const parts: Buffer[] = [];
  let inDeviceState = false;
  const reader = new StreamReader({ deviceState: () => (inDeviceState = true) }, (buffer, start, end) => {
    if (inDeviceState) parts.push(Buffer.from(buffer.subarray(start, end)));
  });
  reader.push(stream);
  return Buffer.concat(parts);
}

for (const fixture of fixtureNames.filter((name) =>
  /-(plain|switchover-ack|virtio-two-blocks)$/.test(name),
)) {
  test(`${fixture}: the end is seen with the last byte, and not before`, (t) => {
    const state = deviceState(readFixture(fixture));
    t.true(state.length > 1000);
    t.true(new StreamEnd().push(state));
    for (const step of [1, 7, 4096]) {
      const end = new StreamEnd();
      let seenAt = -1;
      // Byte by byte from near the end only, or this would take minutes.
      const from = step === 1 ? state.length - 300 : 0;
      if (from > 0) t.false(end.push(state.subarray(0, from)));
      for (let at = from; at < state.length; at += step) {
        if (end.push(state.subarray(at, at + step)) && seenAt < 0) seenAt = at + step;
      }
      t.true(seenAt >= state.length, `step ${step}: seen at ${seenAt} of ${state.length}`);
    }
  });
}

test('text that only looks like a description is not the end', (t) => {
  const header = Buffer.from([0x00, 0x06, 0, 0, 0, 9]);
  t.false(new StreamEnd().push(Buffer.concat([header, Buffer.from('{"a":1}')])));
  t.true(new StreamEnd().push(Buffer.concat([header, Buffer.from('{"a": 1 }')])));
  t.false(new StreamEnd().push(Buffer.from('}')));
  t.false(new StreamEnd().push(Buffer.from([6, 0, 0, 0, 1, 0x7d])));
});
