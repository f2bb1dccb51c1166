import test from 'ava';
import { readFixture } from '../../engine/stream/testing/fixtures.ts';
import { inDeviceState } from './device-state.ts';

/** Where the stream would be held, given in chunks of this size. */
function heldAt(stream: Buffer, chunkBytes: number, section: number | 'description', bytes: number): number {
  const watch = inDeviceState(section, bytes);
  for (let at = 0; at < stream.length; at += chunkBytes) {
    const hold = watch(stream.subarray(at, at + chunkBytes));
    if (hold !== undefined) return at + hold;
  }
  return -1;
}

for (const fixture of ['qemu-7.2-plain', 'qemu-10.0-plain', 'qemu-11-plain'])
  test(`${fixture}: sections and description of the device state are found in their order`, (t) => {
    const stream = readFixture(fixture);
    const places = [0, 1, 5, 12].map((section) => heldAt(stream, stream.length, section, 0));
    const description = heldAt(stream, stream.length, 'description', 0);
    t.true(places.every((place) => place > 0));
    t.deepEqual(
      places,
      [...places].sort((a, b) => a - b),
    );
    t.true(description > Math.max(...places));
    // Type, length, and the text of it.
    t.is(stream.subarray(description + 5, description + 6).toString(), '{');
    t.is(heldAt(stream, stream.length, 0, 17) - heldAt(stream, stream.length, 0, 0), 17);
    t.is(heldAt(stream, stream.length, 1000, 0), -1);
  });

test('the place is the same however the stream is cut', (t) => {
  const stream = readFixture('qemu-10.0-plain');
  for (const [section, bytes] of [
    [3, 20],
    ['description', 11],
  ] as const) {
    const place = heldAt(stream, stream.length, section, bytes);
    for (const chunkBytes of [1460, 4096, 65_536]) t.is(heldAt(stream, chunkBytes, section, bytes), place);
  }
});
