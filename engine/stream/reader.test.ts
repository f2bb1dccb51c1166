import test from 'ava';
import { CodedError } from '../../foundation/coded-error.ts';
import * as build from './testing/build-stream.ts';
import { fixtureNames, readFixture } from './testing/fixtures.ts';
import { loadStream } from './testing/load-stream.ts';
import { blocks, content, movedStream, packageData, smallStream } from './testing/small-stream.ts';
import { StreamReader } from './reader.ts';
import { startReader as start } from './testing/start-reader.ts';

/** Longest that may be kept back: a page's difference with a long block name; the tail of a section is shorter. */
const maxItemBytes = 8 + 1 + 255 + 3 + 4096;

/** The start of a stream, where headers follow each other. */
const headBytes = 400;

const filterable = fixtureNames.filter(
  (fixture) => !/-(compress|ignore-shared|virtio-mem)$/.test(fixture) && !/1.*multifd/.test(fixture),
);

/** Of migrations that became post-copy. */
const isMoved = (fixture: string): boolean => fixture.endsWith('-moved');

test('there are fixtures of three versions of QEMU', (t) => {
  for (const version of ['7.2', '10.0', '11']) {
    t.true(filterable.filter((fixture) => fixture.startsWith(`qemu-${version}-`)).length >= 2, version);
  }
});

for (const fixture of filterable) {
  test(`${fixture}: relays it verbatim and reports what is in it`, (t) => {
    const stream = readFixture(fixture);
    const run = start(undefined, { postcopy: isMoved(fixture) });
    run.reader.push(stream);
    run.reader.end();
    t.is(run.reader.position, isMoved(fixture) ? 'ended' : 'device-state');
    t.is(run.reader.moved, isMoved(fixture));
    t.true(run.output().equals(stream));

    const loaded = loadStream(stream);
    t.is(run.reader.counters.pages, loaded.pageRecords);
    t.is(run.reader.counters.pageDeltas, loaded.deltaRecords);
    const reported = new Map<string, string>();
    for (const event of run.events) {
      const match = /^(page|zero|delta) (\S+) ?(.*)$/s.exec(event);
      if (match !== null)
        reported.set(match[2] ?? '', match[1] === 'page' ? (match[3] ?? '') : (match[1] ?? ''));
      const [what, first = '', count = ''] = event.split(' ');
      if (what === 'discard') for (const key of pagesFrom(first, Number(count))) reported.delete(key);
    }
    const expected = [...loaded.memory].map(([key, content]): [string, string] => [
      key,
      content === 'zero' ? content : loaded.endWithDelta.has(key) ? 'delta' : content.toString('latin1'),
    ]);
    t.deepEqual(reported, new Map(expected));
  });

  test(`${fixture}: cut anywhere, it reads the same`, (t) => {
    const stream = readFixture(fixture);
    const leavesOut = (key: string): boolean => Number(key.split('/').at(-1)) % 3 === 1;
    const options = { postcopy: isMoved(fixture) };
    const whole = start(leavesOut, options);
    whole.reader.push(stream);
    const wholeOutput = whole.output();
    t.true(whole.reader.counters.pagesLeftOut > 0 || whole.reader.counters.pages === 0);

    const byBytes = start(leavesOut, options);
    for (let at = 0; at < stream.length; at += 1) byBytes.reader.push(stream.subarray(at, at + 1));
    t.true(byBytes.output().equals(wholeOutput));
    t.true(sameTexts(byBytes.events, whole.events));

    // Every cut of the start, of which all is header, with enough behind it to tell that the reader has gone astray.
    const head = stream.subarray(0, headBytes + 65_536);
    const wholeHead = start(leavesOut, options);
    wholeHead.reader.push(head);
    const headOutput = wholeHead.output();
    for (let cut = 0; cut < headBytes; cut += 1) {
      const run = start(leavesOut, options);
      run.reader.push(head.subarray(0, cut));
      run.reader.push(head.subarray(cut));
      if (!run.output().equals(headOutput)) t.fail(`cut at ${cut}`);
    }
    // Cuts spread over the rest, ten far apart in a run.
    const spread = Array.from(
      { length: 200 },
      (_, index) => headBytes + Math.floor(((stream.length - headBytes) * index) / 200),
    );
    for (let first = 0; first < 20; first += 1) {
      const cuts = spread.filter((_, index) => index % 20 === first);
      const run = start(leavesOut, options);
      for (const [index, cut] of [...cuts, stream.length].entries())
        run.reader.push(stream.subarray(cuts[index - 1] ?? 0, cut));
      if (!run.output().equals(wholeOutput)) t.fail(`cut at ${cuts.join(', ')}`);
    }
  });
}

/** Keys of a row of pages, of which `first` is the first. */
function pagesFrom(first: string, count: number): string[] {
  const slash = first.lastIndexOf('/');
  const page = Number(first.slice(slash + 1));
  return Array.from({ length: count }, (_, index) => `${first.slice(0, slash)}/${page + index}`);
}

function sameTexts(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((text, index) => text === right[index]);
}

test('a small stream cut at every byte hands on the same bytes, none too early and none too late', (t) => {
  const leavesOut = (key: string): boolean => key === 'ram0/1' || key.endsWith('block/3');
  const whole = start(leavesOut);
  whole.reader.push(smallStream);
  const wholeOutput = whole.output();
  t.deepEqual(
    whole.events.filter((event) => !event.startsWith('page')),
    [
      'configuration {"machine":"pc-i440fx-9.2","capabilities":["events","auto-converge"],"uuid":"00112233-4455-6677-8899-aabbccddeeff"}',
      'command 1 0',
      'command 2 4',
      'begin start',
      `blocks ${JSON.stringify(blocks.map((block, index) => ({ index, name: block.name, lengthBytes: block.pageCount * 4096, pageCount: block.pageCount })))}`,
      'end start',
      'begin part',
      'left out ram0/1',
      'zero ram0/2',
      'left out a.rather.long.name/of@a.block/3',
      'zero a.rather.long.name/of@a.block/1',
      'end part',
      'begin part',
      'delta a.rather.long.name/of@a.block/2',
      'end part',
      'command 11 0',
      'begin end',
      'left out ram0/1',
      'end end',
      'device state',
    ],
  );
  for (let cut = 0; cut <= smallStream.length; cut += 1) {
    const run = start(leavesOut);
    run.reader.push(smallStream.subarray(0, cut));
    const soFar = run.output();
    if (!wholeOutput.subarray(0, soFar.length).equals(soFar)) t.fail(`wrong before the cut at ${cut}`);
    const leftOutBytes = run.reader.counters.pagesLeftOut * 4096;
    if (soFar.length < cut - leftOutBytes - maxItemBytes) t.fail(`too late at ${cut}`);
    run.reader.push(smallStream.subarray(cut));
    if (!run.output().equals(wholeOutput)) t.fail(`wrong after the cut at ${cut}`);
    if (!sameTexts(run.events, whole.events)) t.fail(`other events when cut at ${cut}`);
  }
});

test('names the block again when the record that named it is left out', (t) => {
  const run = start((key) => key.endsWith('block/3'));
  run.reader.push(smallStream);
  const loaded = loadStream(run.output());
  t.is(loaded.memory.get('a.rather.long.name/of@a.block/1'), 'zero');
  const changed = Buffer.from(content(4));
  changed.set([1, 2, 3], 5);
  t.true(changed.equals(loaded.memory.get('a.rather.long.name/of@a.block/2') as Buffer));
  t.false(loaded.memory.has('a.rather.long.name/of@a.block/3'));
});

test('keeps a section end back until its footer is there', (t) => {
  const run = start();
  const end = smallStream.indexOf(build.sectionEnd(3));
  for (let extra = 0; extra < 13; extra += 1) {
    const partial = start();
    partial.reader.push(smallStream.subarray(0, end + extra));
    t.is(partial.output().length, end, `${extra} bytes of it`);
    t.is(partial.reader.placeForPages, 'nowhere');
  }
  run.reader.push(smallStream.subarray(0, end + 13));
  t.is(run.output().length, end + 13);
  t.is(run.reader.placeForPages, 'between-sections');
});

test('holds before the end of RAM, and goes on when released', (t) => {
  for (const step of [1, 7, 4097, smallStream.length]) {
    const run = start(undefined, { holdAtEnd: true });
    let at = 0;
    while (run.reader.push(smallStream.subarray(at, at + step))) at += step;
    at += step;
    const end = smallStream.lastIndexOf(build.sectionEnd(3));
    t.is(run.output().length, end);
    t.is(run.reader.position, 'held');
    t.is(run.reader.placeForPages, 'inside-section');
    t.throws(() => run.reader.push(Buffer.alloc(1)), { message: /held/ });
    run.reader.release();
    t.is(run.reader.position, 'device-state');
    t.is(run.reader.placeForPages, 'nowhere');
    run.reader.push(smallStream.subarray(at));
    run.reader.end();
    t.true(run.output().equals(smallStream));
  }
});

test('a stream that ends in its middle is an error', (t) => {
  const end = smallStream.lastIndexOf(build.sectionEnd(3)) + 13;
  for (const cut of [0, 3, 8, 30, 200, 5000, end - 1]) {
    const run = start();
    run.reader.push(smallStream.subarray(0, cut));
    t.throws(
      () => {
        run.reader.end();
      },
      { instanceOf: CodedError, name: 'StreamError', code: 'truncated' },
    );
    t.true(run.output().equals(smallStream.subarray(0, cut)));
  }
});

test('a small stream that becomes post-copy, cut at every byte, hands on the same bytes', (t) => {
  const leavesOut = (key: string): boolean => key === 'ram0/1' || key === 'ram0/7';
  const whole = start(leavesOut, { postcopy: true });
  whole.reader.push(movedStream);
  whole.reader.end();
  const wholeOutput = whole.output();
  t.deepEqual(
    whole.events.filter((event) => !/^(page|configuration|blocks|command)/.test(event)),
    [
      'begin start',
      'end start',
      'begin part',
      'left out ram0/1',
      'zero ram0/2',
      'left out ram0/7',
      'end part',
      'discard ram0/1 2',
      'discard ram0/5 1',
      'discard a.rather.long.name/of@a.block/0 4',
      `package ${packageData.length}`,
      'package ends',
      'begin part',
      'zero ram0/5',
      'left out ram0/1',
      'end part',
      'begin end',
      'end end',
      'stream ends',
    ],
  );
  const loaded = loadStream(wholeOutput);
  t.true(loaded.package?.equals(packageData));
  for (let cut = 0; cut <= movedStream.length; cut += 1) {
    const run = start(leavesOut, { postcopy: true });
    run.reader.push(movedStream.subarray(0, cut));
    const soFar = run.output();
    if (!wholeOutput.subarray(0, soFar.length).equals(soFar)) t.fail(`wrong before the cut at ${cut}`);
    run.reader.push(movedStream.subarray(cut));
    if (!run.output().equals(wholeOutput)) t.fail(`wrong after the cut at ${cut}`);
    if (!sameTexts(run.events, whole.events)) t.fail(`other events when cut at ${cut}`);
  }
});

test('all that precedes the package is handed on before it is announced, and all of it before it ends', (t) => {
  for (const step of [1, 5, 97, movedStream.length]) {
    const output: Buffer[] = [];
    const seen: Record<string, number> = {};
    const note = (what: string): void => {
      seen[what] = output.reduce((sum, { length }) => sum + length, 0);
    };
    const reader = new StreamReader(
      {
        packageBegins: () => {
          note('begins');
        },
        packageEnds: () => {
          note('ends');
        },
      },
      (buffer, from, to) => output.push(Buffer.from(buffer.subarray(from, to))),
      { postcopy: true },
    );
    for (let at = 0; at < movedStream.length; at += step) reader.push(movedStream.subarray(at, at + step));
    const data = movedStream.indexOf(packageData);
    t.deepEqual(seen, { begins: data - 9, ends: data + packageData.length });
  }
});

test('a stream that becomes post-copy is held before its end, and pages have a place until then', (t) => {
  const run = start(undefined, { postcopy: true, holdAtEnd: true });
  const data = movedStream.indexOf(packageData);
  run.reader.push(movedStream.subarray(0, data + 20));
  t.is(run.reader.position, 'package');
  t.is(run.reader.placeForPages, 'nowhere');
  t.true(run.reader.push(movedStream.subarray(data + 20, data + packageData.length)));
  t.is(run.reader.placeForPages, 'between-sections');
  t.false(run.reader.push(movedStream.subarray(data + packageData.length)));
  t.is(run.reader.placeForPages, 'inside-section');
  run.reader.release();
  run.reader.end();
  t.is(run.reader.position, 'ended');
  t.true(run.output().equals(movedStream));
});

test('without being asked to, it passes through a stream that becomes post-copy from there on', (t) => {
  const run = start();
  run.reader.push(movedStream);
  t.true(run.events.includes('post-copy'));
  t.is(run.reader.position, 'pass-through');
  t.true(run.output().equals(movedStream));
});

test('what no QEMU writes in a stream that becomes post-copy is refused', (t) => {
  const advise = build.command(3, Buffer.concat([build.number(8, 0x1000), build.number(8, 0x1000)]));
  const replaced = (from: Buffer, to: Buffer): Buffer => {
    const at = movedStream.indexOf(from);
    t.true(at > 0);
    return Buffer.concat([movedStream.subarray(0, at), to, movedStream.subarray(at + from.length)]);
  };
  const ranges = (first: number, bytes: number): Buffer =>
    Buffer.concat([build.number(8, first), build.number(8, bytes)]);
  const cases: readonly (readonly [string, Buffer])[] = [
    [
      'huge-pages',
      replaced(advise, build.command(3, Buffer.concat([build.number(8, 0x201000), build.number(8, 0x1000)]))),
    ],
    // Half a page; beyond the block; of no block.
    ['malformed', replaced(ranges(5 * 4096, 4096), ranges(5 * 4096, 2048))],
    ['malformed', replaced(ranges(5 * 4096, 4096), ranges(8 * 4096, 4096))],
    [
      'malformed',
      replaced(build.name('a.rather.long.name/of@a.block'), build.name('a.rather.long.name/of@a.blocK')),
    ],
    [
      'malformed',
      replaced(build.command(7, build.number(4, packageData.length)), build.command(7, build.number(4, 0))),
    ],
    [
      'malformed',
      replaced(
        build.command(7, build.number(4, packageData.length)),
        build.command(7, build.number(4, 1 << 30)),
      ),
    ],
    ['malformed', Buffer.concat([movedStream, build.number(1, 0)])],
    // A second package, and a migration that is recovered.
    ['postcopy', replaced(build.command(2, build.number(4, 4)), build.command(7, build.number(4, 1)))],
    ['postcopy', replaced(build.command(2, build.number(4, 4)), build.command(9))],
  ];
  for (const [index, [reason, stream]] of cases.entries()) {
    const error = t.throws(
      () => start(undefined, { postcopy: true, refuseUnsupported: true }).reader.push(stream),
      { instanceOf: CodedError },
    );
    t.is(error.reason, reason, `case ${index}: ${error.message}`);
  }
});
