import test from 'ava';
import { StreamReader } from './reader.ts';
import { fixtureNames, readFixture } from './testing/fixtures.ts';
import { endOfFileAt, maxEndBytes, StreamEnd } from './stream-end.ts';

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

function description(text: string): Buffer {
  const header = Buffer.from([0x00, 0x06, 0, 0, 0, 0]);
  header.writeUInt32BE(text.length, 2);
  return Buffer.concat([header, Buffer.from(text)]);
}

test('a longer end than who passes the stream on would hold back is not seen, however it comes', (t) => {
  const endOf = (bytes: number): Buffer => {
    const text = '{"page_size":4096,"devices":[]}';
    const spaces = bytes - description(text).length;
    return description(text.replace('[]', `[${' '.repeat(spaces)}]`));
  };
  for (const step of [100_000, 3 * maxEndBytes])
    for (const [bytes, isSeen] of [
      [maxEndBytes, true],
      [maxEndBytes + 1, false],
    ] as const) {
      const stream = Buffer.concat([Buffer.alloc(step), endOf(bytes)]);
      t.is(stream.length, step + bytes);
      const end = new StreamEnd();
      for (let at = 0; at < stream.length; at += step) end.push(stream.subarray(at, at + step));
      t.is(end.complete, isSeen, `${bytes} bytes, ${step} at a time`);
    }
});

test('text that only looks like a description is not the end', (t) => {
  t.true(new StreamEnd().push(description('{"page_size":4096,"devices":[]}')));
  t.false(new StreamEnd().push(description('{"page_size":4096,"devices":[]}').subarray(1)));
  t.false(new StreamEnd().push(description('{"page_size":4096,"gadgets":[]}')));
  t.false(new StreamEnd().push(description('{"page_size":4096,"devices":}')));
  t.false(new StreamEnd().push(description('{"page_size":4096,"devices":[]} }').fill(0x5b, 6, 7)));
  t.false(new StreamEnd().push(Buffer.from('}')));
  t.false(new StreamEnd().push(Buffer.from([6, 0, 0, 0, 1, 0x7d])));
});

test('what a stream goes on behind was not its end', (t) => {
  const end = new StreamEnd();
  const whole = description('{"page_size":4096,"devices":[]}');
  t.true(end.push(whole));
  t.true(end.complete);
  t.false(end.push(Buffer.from([1, 2])));
  t.false(end.complete);
  t.true(end.push(whole));
});

test('without a description, a footer and the end of file may be the end', (t) => {
  const end = new StreamEnd();
  t.false(end.endsWithoutDescription);
  end.push(Buffer.from([1, 2, 3, 0x7e, 0, 0, 0]));
  t.false(end.endsWithoutDescription);
  end.push(Buffer.from([9, 0]));
  t.true(end.endsWithoutDescription);
  end.push(Buffer.from([0]));
  t.false(end.endsWithoutDescription);
});

test('the end of file byte stands before the description, or at the end', (t) => {
  const state = Buffer.from([1, 2, 3, 0x7e, 0, 0, 0, 9]);
  const whole = Buffer.concat([state, description('{"page_size":4096,"devices":[]}')]);
  t.is(endOfFileAt(whole), state.length);
  t.is(endOfFileAt(Buffer.concat([state, Buffer.from([0])])), state.length);
  t.is(endOfFileAt(Buffer.alloc(0)), 0);
});
