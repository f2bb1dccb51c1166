import test from 'ava';
import { PostcopyEnding } from './postcopy-ending.ts';
import { StreamReader } from './reader.ts';
import * as build from './testing/build-stream.ts';
import { readFixture } from './testing/fixtures.ts';
import { loadStream } from './testing/load-stream.ts';
import { content } from './testing/small-stream.ts';

const description = '{"page_size": 4096, "devices": []}';
const device = Buffer.concat([
  build.sectionStart(4, 9, 'timer', 2),
  // As another section's end, and as the end of the stream.
  build.sectionEnd(3),
  Buffer.from([0, 6]),
  build.number(1, 0x7e),
  build.number(4, 9),
]);
const beforeEnd = Buffer.concat([
  build.streamStart(3, [{ name: 'ram0', pageCount: 8 }]),
  build.sectionPart(2, 3),
  build.page('ram0', 0, content(1)),
  build.zeroPage(undefined, 1),
  build.sectionEnd(3),
  build.command(11),
]);
const lastPages = Buffer.concat([build.page('ram0', 7, content(2)), build.sectionEnd(3)]);
const precopy = Buffer.concat([
  beforeEnd,
  build.sectionPart(3, 3),
  lastPages,
  device,
  build.number(1, 0),
  build.number(1, 6),
  build.number(4, description.length),
  Buffer.from(description),
]);
const packaged = Buffer.concat([
  build.command(4),
  device,
  build.command(2, build.number(4, 3)),
  build.command(5),
]);
const postcopy = Buffer.concat([
  beforeEnd,
  build.sectionPart(2, 3),
  lastPages,
  build.command(7, build.number(4, packaged.length)),
  packaged,
  build.sectionPart(3, 3),
  build.sectionEnd(3),
  build.number(1, 0),
]);

/** What a receiver gets of `chunks`, and where pages could be added. */
function converted(chunks: readonly Buffer[]): { output: Buffer; places: string[]; events: string[] } {
  const output: Buffer[] = [];
  const places: string[] = [];
  const events: string[] = [];
  const ending = new PostcopyEnding();
  const seen = { whole: false };
  const reader = new StreamReader(
    {
      endOfPrecopy: (buffer, start, end) => {
        seen.whole = ending.push(buffer.subarray(start, end));
      },
      ramSectionEnds: (kind) => events.push(`end ${kind}`),
      deviceState: () => events.push('device state'),
      packageBegins: () => events.push('package'),
      packageEnds: () => events.push('package ends'),
      streamEnds: () => events.push('stream ends'),
    },
    (buffer, from, to) => output.push(Buffer.from(buffer.subarray(from, to))),
    { postcopy: true, holdAtEnd: true, becomesPostcopy: () => true },
  );
  for (const chunk of chunks) {
    reader.push(chunk);
    places.push(`${reader.position}: ${reader.placeForPages}`);
    if (!seen.whole) continue;
    seen.whole = false;
    reader.becomePostcopy();
    reader.push(ending.bytes(reader.ramSectionId ?? 0));
    places.push(`${reader.position}: ${reader.placeForPages}`);
    reader.release();
    reader.end();
  }
  return { output: Buffer.concat(output), places, events };
}

test('the end of pre-copy becomes that of post-copy, cut at every byte', (t) => {
  for (let cut = 0; cut <= precopy.length; cut++) {
    const { output } = converted([precopy.subarray(0, cut), precopy.subarray(cut)]);
    if (!output.equals(postcopy)) t.fail(`wrong when cut at ${cut}`);
  }
  const bytes = converted(Array.from(precopy, (byte) => Buffer.of(byte)));
  t.true(bytes.output.equals(postcopy));
  t.deepEqual(bytes.events, [
    'end start',
    'end part',
    'end part',
    'package',
    'package ends',
    'end end',
    'stream ends',
  ]);
  t.true(bytes.places.includes('end-of-precopy: between-sections'));
  t.true(bytes.places.includes('held: inside-section'));
});

for (const fixture of ['qemu-10.0-plain', 'qemu-10.0-virtio-two-blocks', 'qemu-11-switchover-ack']) {
  test(`${fixture}: the same memory, and all of its device state in the package`, (t) => {
    const stream = readFixture(fixture);
    const before = loadStream(stream);
    const after = loadStream(converted([stream]).output);
    t.deepEqual(after.memory, before.memory);
    const state = after.package?.subarray(5, -14) ?? Buffer.alloc(0);
    t.true(state.length > 1000);
    t.true(state.equals(before.rest.subarray(0, state.length)));
    t.deepEqual([...before.rest.subarray(state.length, state.length + 2)], [0, 6]);
    t.deepEqual([...after.rest], [0]);
  });
}

test('what looks like the end, and is followed by more, was none', (t) => {
  const ending = new PostcopyEnding();
  const end = precopy.subarray(-6 - description.length);
  t.true(ending.push(Buffer.concat([device, end])));
  t.true(ending.isWhole);
  t.false(ending.push(Buffer.from([1, 2])));
  t.false(ending.isWhole);
  t.true(ending.push(end));
  const converted = ending.bytes(3);
  t.true(converted.includes(Buffer.concat([device, end, Buffer.from([1, 2])])));
});

test('device state that no target takes in a package is refused', (t) => {
  const ending = new PostcopyEnding();
  const chunk = Buffer.alloc(1024 * 1024, 1);
  const error = t.throws(() => {
    for (let i = 0; i <= 32; i++) ending.push(chunk);
  });
  t.regex(error.message, /device state of more than/);
});
