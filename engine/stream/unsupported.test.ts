import test from 'ava';
import fc from 'fast-check';
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import type { UnsupportedReason } from './handler.ts';
import * as build from './testing/build-stream.ts';
import { readFixture } from './testing/fixtures.ts';
import { blocks, content, smallStream } from './testing/small-stream.ts';
import { startReader as start } from './testing/start-reader.ts';

const captured: readonly (readonly [fixture: string, UnsupportedReason])[] = [
  ['qemu-7.2-compress', 'compression'],
  ['qemu-10.0-multifd', 'multifd'],
  ['qemu-11-multifd', 'multifd'],
  ['qemu-7.2-multifd.channel-1', 'multifd'],
  ['qemu-10.0-multifd.channel-2', 'multifd'],
  ['qemu-10.0-ignore-shared', 'ignore-shared'],
  ['qemu-10.0-virtio-mem', 'early-device-state'],
];

for (const [fixture, reason] of captured) {
  test(`${fixture}: passes it through (${reason})`, (t) => {
    const stream = readFixture(fixture);
    for (const step of [stream.length, 1009]) {
      const run = start();
      for (let at = 0; at < stream.length; at += step) run.reader.push(stream.subarray(at, at + step));
      run.reader.end();
      t.deepEqual(
        run.events.filter((event) => event.startsWith('unsupported')),
        [`unsupported ${reason}`],
      );
      t.is(run.reader.position, 'pass-through');
      t.true(run.output().equals(stream));
    }
    const refusing = start(undefined, { refuseUnsupported: true });
    t.throws(() => refusing.reader.push(stream), {
      instanceOf: CodedError,
      name: 'StreamError',
      code: 'unsupported',
    });
  });
}

test('compression is noticed before a page is left out', (t) => {
  const run = start(() => true);
  run.reader.push(readFixture('qemu-7.2-compress'));
  t.is(run.reader.position, 'pass-through');
  t.is(run.reader.counters.pagesLeftOut, 0);
});

const ramStart = Buffer.concat([
  build.magic,
  build.configuration('pc-q35-10.0'),
  build.sectionStart(1, 3, 'ram', 4),
]);
const ready = build.streamStart(3, blocks);
const inPart = Buffer.concat([ready, build.sectionPart(2, 3)]);
const onePage = build.page('ram0', 0, content(1));
const made: Readonly<Record<string, readonly [UnsupportedReason, Buffer]>> = {
  'a TLS handshake': ['tls', Buffer.from('16030100f8010000f40303aabbcc', 'hex')],
  'an HTTP request': ['not-a-stream', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  'another version': ['not-a-stream', Buffer.from('5145564d00000002070000', 'hex')],
  'no configuration': ['machine', Buffer.concat([build.magic, build.sectionStart(1, 3, 'ram', 4)])],
  'an Arm machine': [
    'machine',
    Buffer.concat([build.magic, build.configuration('virt-10.0'), build.command(1)]),
  ],
  'pages of 64 KiB': [
    'page-size',
    Buffer.concat([
      build.magic,
      build.configuration(
        'pc-q35-10.0',
        build.subsection('configuration/target-page-bits', build.number(4, 16)),
      ),
      build.command(1),
    ]),
  ],
  'mapped-ram': [
    'mapped-ram',
    Buffer.concat([
      build.magic,
      build.configuration('pc-q35-10.0', build.capabilities('mapped-ram')),
      build.command(1),
    ]),
  ],
  'an unknown subsection of the configuration': [
    'malformed',
    Buffer.concat([
      build.magic,
      build.configuration('pc-q35-10.0', build.subsection('configuration/new', onePage)),
    ]),
  ],
  'a machine name of 4 GiB': ['malformed', Buffer.concat([build.magic, Buffer.from('07ffffffff', 'hex')])],
  'four thousand million capabilities': [
    'malformed',
    Buffer.concat([
      build.magic,
      build.configuration(
        'pc-q35-10.0',
        build.subsection('configuration/capabilities', build.number(4, 0xffffffff)),
      ),
    ]),
  ],
  'a post-copy that is resumed': ['postcopy', Buffer.concat([ready, build.command(9)])],
  'post-copy before RAM': [
    'malformed',
    Buffer.concat([build.magic, build.configuration('pc-q35-10.0'), build.command(4)]),
  ],
  'bits of dirty bitmaps before the end of RAM': [
    'dirty-bitmaps',
    Buffer.concat([ready, build.sectionStart(1, 4, 'dirty-bitmap', 1), build.number(1, 0x4c)]),
  ],
  'dirty bitmaps without a footer': [
    'malformed',
    Buffer.concat([
      ready,
      build.sectionStart(1, 4, 'dirty-bitmap', 1),
      build.number(1, 1),
      build.number(8, 0),
    ]),
  ],
  COLO: ['colo', Buffer.concat([build.magic, build.configuration('pc-q35-10.0'), build.command(8)])],
  'an unknown command': ['unknown-section', Buffer.concat([ready, build.command(77, Buffer.alloc(9))])],
  'another iterable section': [
    'unknown-section',
    Buffer.concat([ready, build.sectionStart(1, 4, 'vfio', 1), Buffer.alloc(100)]),
  ],
  'another version of the RAM section': [
    'unknown-section',
    Buffer.concat([build.magic, build.configuration('pc-q35-10.0'), build.sectionStart(1, 3, 'ram', 5)]),
  ],
  'a part of a section never started': ['unknown-section', Buffer.concat([ready, build.sectionPart(2, 4)])],
  'an unknown type of section': ['unknown-section', Buffer.concat([ready, Buffer.from([0x55])])],
  'the end of file before RAM': ['unknown-section', Buffer.concat([ready, Buffer.from([0])])],
  'device state before the end of RAM': [
    'early-device-state',
    Buffer.concat([ready, build.sectionStart(4, 9, 'timer', 2), Buffer.alloc(20)]),
  ],
  'RAM without blocks': ['malformed', Buffer.concat([ramStart, build.sectionEnd(3)])],
  'RAM blocks beyond their sum': [
    'malformed',
    Buffer.concat([ramStart, build.number(8, 4096 + 4), build.name('ram0'), build.number(8, 8192)]),
  ],
  'a RAM block of half a page': [
    'malformed',
    Buffer.concat([ramStart, build.number(8, 4096 + 4), build.name('ram0'), build.number(8, 2048)]),
  ],
  'the same RAM block twice': [
    'malformed',
    Buffer.concat([ramStart, build.memorySizes([...blocks, { name: 'ram0', pageCount: 1 }])]),
  ],
  'RAM blocks announced twice': ['malformed', Buffer.concat([inPart, build.memorySizes(blocks)])],
  'no footer': [
    'malformed',
    Buffer.concat([inPart, build.number(8, 0x10), build.sectionPart(2, 3), onePage]),
  ],
  'the footer of another section': ['malformed', Buffer.concat([inPart, build.sectionEnd(4)])],
  'a page of an unknown block': ['malformed', Buffer.concat([inPart, build.page('ram1', 0, content(1))])],
  'a page of no block': ['malformed', Buffer.concat([inPart, build.page(undefined, 0, content(1))])],
  'a page beyond its block': ['malformed', Buffer.concat([inPart, build.page('ram0', 8, content(1))])],
  'a page beyond 16 TiB': ['malformed', Buffer.concat([inPart, build.page('ram0', 2 ** 40, content(1))])],
  'a page before the blocks': ['malformed', Buffer.concat([ramStart, onePage])],
  RDMA: ['rdma', Buffer.concat([inPart, build.number(8, 0x80)])],
  multifd: ['multifd', Buffer.concat([inPart, build.number(8, 0x200)])],
  'a difference of another encoding': [
    'malformed',
    Buffer.concat([inPart, build.record('ram0', 0, 0x40, Buffer.from('02000401000101', 'hex'))]),
  ],
  'a difference longer than a page': [
    'malformed',
    Buffer.concat([inPart, build.record('ram0', 0, 0x40, Buffer.from('011001', 'hex'))]),
  ],
  'an unknown record': [
    'unknown-record',
    Buffer.concat([inPart, build.record('ram0', 0, 0x400, content(1))]),
  ],
  'two kinds at once': ['unknown-record', Buffer.concat([inPart, build.record('ram0', 0, 0x0a, content(1))])],
};

for (const [what, [reason, stream]] of Object.entries(made)) {
  test(`${what}: passed through as ${reason}, and an error once a page was left out`, (t) => {
    for (const step of [stream.length, 1]) {
      const run = start();
      for (let at = 0; at < stream.length; at += step) run.reader.push(stream.subarray(at, at + step));
      run.reader.push(smallStream);
      run.reader.end();
      t.deepEqual(run.events.at(-1), `unsupported ${reason}`);
      t.true(run.output().equals(Buffer.concat([stream, smallStream])));
    }
    if (!stream.subarray(0, ready.length).equals(ready)) return;
    const insidePart = stream.subarray(0, inPart.length).equals(inPart);
    // The same after two pages, of which the second is left out.
    const pages = Buffer.concat([
      build.sectionPart(2, 3),
      onePage,
      build.page(undefined, 1, content(2)),
      ...(insidePart ? [] : [build.sectionEnd(3)]),
    ]);
    const tail = stream.subarray(insidePart ? inPart.length : ready.length);
    // A record of "the same block" has one now.
    if (what === 'a page of no block') return;
    const run = start(() => true);
    const error = t.throws(() => run.reader.push(Buffer.concat([ready, pages, tail])), {
      instanceOf: CodedError,
      name: 'StreamError',
    });
    t.is(error.reason, reason);
    t.is(run.reader.counters.pagesLeftOut, 1);
  });
}

test('where pages that are left out are delivered all the same, the rest is passed through, and of the right block', (t) => {
  const unknown = 0x800;
  const record = build.record(undefined, 1, unknown, Buffer.from('what is in it'));
  const stream = Buffer.concat([
    build.streamStart(3, blocks),
    build.sectionPart(2, 3),
    build.page('ram0', 0, content(1)),
    build.page(blocks[1]?.name, 2, content(2)),
    record,
  ]);
  for (const step of [1, 1009, stream.length]) {
    const run = start((key) => key.endsWith('/2'), { leftOutIsDelivered: true });
    for (let at = 0; at < stream.length; at += step) run.reader.push(stream.subarray(at, at + step));
    run.reader.end();
    t.is(run.reader.counters.pagesLeftOut, 1);
    const expected = Buffer.concat([
      build.streamStart(3, blocks),
      build.sectionPart(2, 3),
      build.page('ram0', 0, content(1)),
      build.record(blocks[1]?.name, 1, unknown, Buffer.from('what is in it')),
    ]);
    t.true(run.output().equals(expected), `in pieces of ${step} bytes`);
  }
});

test('blocks of no length do not follow one another for ever', (t) => {
  const run = start();
  run.reader.push(Buffer.concat([ramStart, build.number(8, 4096 + 4)]));
  for (let index = 0; index < 100_000 && run.reader.position !== 'pass-through'; index += 1) {
    run.reader.push(Buffer.concat([build.name(`b${index}`), build.number(8, 0)]));
  }
  t.is(run.reader.position, 'pass-through');
});

test('garbage at any place neither hangs, nor is lost, nor fails otherwise than with a StreamError', (t) => {
  fc.assert(
    fc.property(
      fc.nat(smallStream.length),
      fc.uint8Array({ maxLength: 300 }),
      fc.integer({ min: 1, max: 5000 }),
      fc.boolean(),
      (cut, garbage, step, leaveOut) => {
        const stream = Buffer.concat([smallStream.subarray(0, cut), garbage, smallStream.subarray(cut)]);
        const run = start(() => leaveOut);
        try {
          for (let at = 0; at < stream.length; at += step) run.reader.push(stream.subarray(at, at + step));
          run.reader.end();
        } catch (error) {
          if (!isCoded(error, 'stream')) throw error;
          return;
        }
        if (!leaveOut && !run.output().equals(stream)) throw new Error('bytes were changed');
      },
    ),
    { numRuns: 2000 },
  );
  t.pass();
});

test('an obstacle of the configuration is told when the commands behind it are read', (t) => {
  const run = start(() => true);
  const advice = Buffer.concat([build.number(8, 0x1000), build.number(8, 0x1000)]);
  const configuration = Buffer.concat([build.magic, build.configuration('virt-10.0')]);
  run.reader.push(Buffer.concat([configuration, build.command(1), build.command(3, advice)]));
  t.false(
    run.events.some((event) => event === 'unsupported machine'),
    run.events.join(),
  );
  t.true(run.reader.mayBecomePostcopy);
  run.reader.push(build.sectionStart(1, 3, 'ram', 4));
  t.true(
    run.events.some((event) => event === 'unsupported machine'),
    run.events.join(),
  );
});
