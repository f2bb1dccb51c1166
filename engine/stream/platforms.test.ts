/** What platforms' default capabilities put into a stream: dirty bitmaps, and post-copy that is allowed and perhaps begun. */
import test from 'ava';
import * as build from './testing/build-stream.ts';
import { blocks, content } from './testing/small-stream.ts';
import { startReader as start } from './testing/start-reader.ts';

const footer = (id: number): Buffer => Buffer.concat([build.number(1, 0x7e), build.number(4, id)]);
const pages = Buffer.concat([
  build.sectionPart(2, 3),
  build.page('ram0', 0, content(1)),
  build.page(undefined, 1, content(2)),
  build.page(undefined, 2, content(3)),
  build.sectionEnd(3),
]);
const end = Buffer.concat([
  build.sectionPart(3, 3),
  build.page(undefined, 1, content(4)),
  build.sectionEnd(3),
  build.deviceState,
]);
const beginning = (advice: Buffer): Buffer =>
  Buffer.concat([
    build.magic,
    build.configuration('pc-q35-10.0'),
    build.command(1),
    build.command(3, advice),
  ]);

/** As dirty_bitmap_save_setup writes it: two bitmaps of one disk, the second without its name. */
const bitmaps = Buffer.concat([
  build.sectionStart(1, 4, 'dirty-bitmap', 1),
  ...[
    build.number(1, 0x1c),
    build.name('disk0'),
    build.name('backup'),
    build.number(4, 65_536),
    build.number(1, 3),
  ],
  ...[build.number(1, 0x14), build.name('another'), build.number(4, 65_536), build.number(1, 1)],
  ...[build.number(1, 1), footer(4)],
]);
const noMoreBitmaps = Buffer.concat([build.sectionPart(2, 4), build.number(1, 1), footer(4)]);

/** MEM_SIZE of a VM of which the first block has huge pages, or the last. */
function blocksWithPageSize(huge: number): Buffer {
  const total = blocks.reduce((sum, { pageCount }) => sum + pageCount * 4096, 0);
  return Buffer.concat([
    build.sectionStart(1, 3, 'ram', 4),
    build.number(8, total + 4),
    ...blocks.flatMap(({ name, pageCount }, index) => [
      build.name(name),
      build.number(8, pageCount * 4096),
      ...(index === huge ? [build.number(8, 0x200000)] : []),
    ]),
    build.sectionEnd(3),
  ]);
}

const plainBlocks = Buffer.concat([
  build.sectionStart(1, 3, 'ram', 4),
  build.memorySizes(blocks),
  build.sectionEnd(3),
]);
const advice = Buffer.concat([build.number(8, 0x201000), build.number(8, 4096)]);
const streams: Readonly<Record<string, Buffer>> = {
  'dirty-bitmaps without bitmaps': Buffer.concat([
    ...[beginning(Buffer.alloc(0)), plainBlocks, build.sectionStart(1, 4, 'dirty-bitmap', 1)],
    ...[build.number(1, 1), footer(4), pages, end],
  ]),
  'dirty bitmaps, of a VM that is stopped': Buffer.concat([
    ...[beginning(Buffer.alloc(0)), plainBlocks, bitmaps, pages, noMoreBitmaps, end],
  ]),
  'post-copy allowed': Buffer.concat([beginning(advice), plainBlocks, pages, end]),
  'post-copy allowed, the first block of huge pages': Buffer.concat([
    ...[beginning(advice), blocksWithPageSize(0), pages, end],
  ]),
  'post-copy allowed, the last block of huge pages': Buffer.concat([
    ...[beginning(advice), blocksWithPageSize(1), pages, end],
  ]),
};

for (const [what, stream] of Object.entries(streams)) {
  test(`${what}: pages are left out, wherever the stream is cut`, (t) => {
    const leavesOut = (key: string): boolean => key === 'ram0/1';
    const whole = start(leavesOut);
    whole.reader.push(stream);
    whole.reader.end();
    t.is(whole.reader.position, 'device-state');
    t.is(whole.reader.counters.pagesLeftOut, 2);
    t.is(whole.reader.blocks.length, blocks.length);
    const output = whole.output();
    const eventsOf = (run: typeof whole): string =>
      run.events.filter((event) => !event.startsWith('page')).join();
    for (let cut = 0; cut <= stream.length; cut += 1) {
      const run = start(leavesOut);
      run.reader.push(stream.subarray(0, cut));
      run.reader.push(stream.subarray(cut));
      if (!run.output().equals(output) || eventsOf(run) !== eventsOf(whole)) t.fail(`cut at ${cut}`);
    }
  });
}

test('post-copy is held where it begins, and then passed through', (t) => {
  const before = Buffer.concat([beginning(advice), plainBlocks, pages]);
  const discard = build.command(6, Buffer.alloc(30));
  const after = Buffer.concat([discard, build.command(7, build.number(4, 5)), Buffer.from('state'), pages]);
  for (const step of [1, 7, 5000, before.length + after.length]) {
    const run = start((key) => key === 'ram0/1', { holdAtEnd: true });
    const stream = Buffer.concat([before, after]);
    let at = 0;
    while (run.reader.push(stream.subarray(at, at + step))) at += step;
    at += step;
    t.is(run.reader.placeForPages, 'between-sections');
    t.is(run.output().length, before.length - 4096 - 8);
    run.reader.release();
    if (at < stream.length) run.reader.push(stream.subarray(at));
    t.is(run.events.at(-1), 'post-copy');
    t.true(run.output().subarray(-after.length).equals(after));
    run.reader.end();
  }
});

test('bitmaps of a VM that moves early are refused before anything is left out of', (t) => {
  const ofSmallPages = Buffer.concat([build.number(8, 4096), build.number(8, 4096)]);
  const stream = Buffer.concat([beginning(ofSmallPages), plainBlocks, bitmaps]);
  const run = start(() => true, { postcopy: true, refuseBitmaps: true });
  run.reader.push(stream);
  t.true(
    run.events.some((event) => event.includes('dirty-bitmaps')),
    run.events.join(),
  );
  t.is(run.reader.counters.pagesLeftOut, 0);
});
