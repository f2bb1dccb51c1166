import test from 'ava';
import fc from 'fast-check';
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import { StreamInjector } from './injector.ts';
import { StreamReader } from './reader.ts';
import * as build from './testing/build-stream.ts';
import { fixtureNames, readFixture } from './testing/fixtures.ts';
import { loadStream, type LoadedStream } from './testing/load-stream.ts';
import { content, smallStream } from './testing/small-stream.ts';

/** A number in [0, 1) that depends on nothing but the seed: tests that fail can be run again. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

type Message =
  | { readonly is: 'bytes'; readonly bytes: Buffer }
  | { readonly is: 'left out'; readonly block: number; readonly page: number; readonly content: Buffer };

/** The source's side: leaves out a share of the pages, and says so in their place. */
function leaveOut(stream: Buffer, share: number, random: () => number): Message[] {
  const messages: Message[] = [];
  let refused = Buffer.alloc(0);
  const reader = new StreamReader(
    {
      page: (_block, _page, buffer, offset) => {
        if (random() >= share) return true;
        refused = Buffer.from(buffer.subarray(offset, offset + 4096));
        return false;
      },
      pageLeftOut: (block, page) => messages.push({ is: 'left out', block, page, content: refused }),
    },
    (buffer, start, end) => messages.push({ is: 'bytes', bytes: Buffer.from(buffer.subarray(start, end)) }),
  );
  for (let at = 0; at < stream.length;) {
    const step = 1 + Math.floor(random() * 20_000);
    reader.push(stream.subarray(at, at + step));
    at += step;
  }
  reader.end();
  return messages;
}

/** The destination's side: puts the pages back at random moments, unless a newer record has come. */
function putBack(messages: readonly Message[], random: () => number): { output: Buffer; injected: number } {
  const output: Buffer[] = [];
  const pending = new Map<string, Extract<Message, { is: 'left out' }>>();
  const cancel = (block: number, page: number): true => {
    pending.delete(`${block}/${page}`);
    return true;
  };
  const injector = new StreamInjector(
    { page: cancel, zeroPage: cancel },
    (buffer, start, end) => output.push(Buffer.from(buffer.subarray(start, end))),
    { holdAtEnd: true },
  );
  const inject = (share: number): void => {
    for (const [key, { block, page, content: bytes }] of pending) {
      if (!injector.canInject || random() >= share) continue;
      injector.injectPage(block, page, bytes, 0);
      pending.delete(key);
    }
  };
  for (const message of messages) {
    if (message.is === 'left out') {
      pending.set(`${message.block}/${message.page}`, message);
      continue;
    }
    for (let at = 0; at < message.bytes.length;) {
      const step = 1 + Math.floor(random() * 12_000);
      if (!injector.push(message.bytes.subarray(at, at + step))) {
        inject(1);
        injector.release();
      }
      at += step;
      inject(random() < 0.3 ? 0.5 : 0);
    }
  }
  injector.end();
  if (pending.size > 0) throw new Error(`${pending.size} pages were not put back`);
  return { output: Buffer.concat(output), injected: injector.reader.counters.pagesInjected };
}

/** Undefined if equal, else what differs. */
function difference(found: LoadedStream, wanted: LoadedStream): string | undefined {
  if (!found.rest.equals(wanted.rest)) return 'device state';
  if (found.memory.size !== wanted.memory.size) return `${found.memory.size} of ${wanted.memory.size} pages`;
  for (const [key, page] of wanted.memory) {
    const other = found.memory.get(key);
    if (page === 'zero' || other === 'zero' ? page !== other : other?.equals(page) !== true) return key;
  }
  return undefined;
}

for (const fixture of fixtureNames.filter((name) =>
  /-(plain|switchover-ack|virtio-two-blocks)$/.test(name),
)) {
  test(`${fixture}: pages left out and put back make the same memory`, (t) => {
    const stream = readFixture(fixture);
    for (const seed of [1, 2, 3]) {
      const random = randomFrom(seed);
      const messages = leaveOut(stream, 0.7, random);
      const leftOut = messages.filter(({ is }) => is === 'left out').length;
      const { output, injected } = putBack(messages, random);
      t.true(leftOut > 150);
      t.true(injected > 0 && injected <= leftOut);
      t.is(difference(loadStream(output), loadStream(stream)), undefined);
    }
  });
}

const blocks = [
  { name: 'ram0', pageCount: 6 },
  { name: 'r', pageCount: 3 },
  { name: 'x'.repeat(255), pageCount: 2 },
];
/** Sections of (block, page, content seed; 0 is a page of zeros). The last one is RAM's END. */
const sections = fc.array(fc.array(fc.tuple(fc.nat(2), fc.nat(5), fc.nat(40)), { maxLength: 12 }), {
  minLength: 1,
  maxLength: 6,
});

function buildStream(
  parts: readonly (readonly (readonly [number, number, number])[])[],
  named: boolean,
): Buffer {
  let last = -1;
  const body = parts.map((records, index) => [
    ...(index % 2 === 1 ? [build.command(2, build.number(4, index))] : []),
    build.sectionPart(index === parts.length - 1 ? 3 : 2, 3),
    ...records.flatMap(([blockIndex, page, seed]) => {
      const block = blocks[blockIndex];
      if (block === undefined || page >= block.pageCount) return [];
      // QEMU names a block only when it changes; it may do so more often.
      const name = last === blockIndex && !named ? undefined : block.name;
      last = blockIndex;
      return [seed === 0 ? build.zeroPage(name, page) : build.page(name, page, content(seed))];
    }),
    build.sectionEnd(3),
  ]);
  return Buffer.concat([build.streamStart(3, blocks), ...body.flat(), build.deviceState]);
}

test('any records, left out and put back at any moment, make the same memory', (t) => {
  fc.assert(
    fc.property(
      sections,
      fc.boolean(),
      fc.nat(),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (parts, named, seed, share) => {
        const stream = buildStream(parts, named);
        const random = randomFrom(seed);
        const { output } = putBack(leaveOut(stream, share, random), random);
        const found = difference(loadStream(output), loadStream(stream));
        if (found !== undefined) throw new Error(found);
      },
    ),
    { numRuns: 1000 },
  );
  t.pass();
});

test('injects between two sections, in a section of its own, and in one that is open', (t) => {
  const output: Buffer[] = [];
  const injector = new StreamInjector({}, (buffer, start, end) =>
    output.push(Buffer.from(buffer.subarray(start, end))),
  );
  const start = build.streamStart(3, blocks);
  injector.push(start);
  injector.injectPage(1, 2, content(9), 0);
  injector.injectZeroPage(1, 0);
  injector.injectPage(0, 4, content(8), 0);
  const part = Buffer.concat([build.sectionPart(2, 3), build.page('ram0', 1, content(7))]);
  injector.push(part);
  injector.injectPage(0, 2, content(6), 0);
  const rest = Buffer.concat([
    build.zeroPage(undefined, 3),
    build.sectionEnd(3),
    build.sectionPart(3, 3),
    build.sectionEnd(3),
  ]);
  injector.push(rest);
  const expected = Buffer.concat([
    start,
    build.sectionPart(2, 3),
    build.page('r', 2, content(9)),
    build.zeroPage(undefined, 0),
    build.page('ram0', 4, content(8)),
    build.sectionEnd(3),
    part,
    build.page(undefined, 2, content(6)),
    rest,
  ]);
  t.true(Buffer.concat(output).equals(expected));
});

test('a command goes between two parts of RAM, and cuts one that is open; the block of the next record stays', (t) => {
  const output: Buffer[] = [];
  const injector = new StreamInjector({}, (buffer, start, end) =>
    output.push(Buffer.from(buffer.subarray(start, end))),
  );
  const start = build.streamStart(3, blocks);
  const ping = build.command(2, build.number(4, 7));
  injector.push(start);
  injector.injectZeroPage(0, 4);
  injector.injectCommand(2, build.number(4, 7));
  const part = Buffer.concat([build.sectionPart(2, 3), build.page('ram0', 1, content(7))]);
  injector.push(part);
  injector.injectCommand(2, build.number(4, 7));
  const rest = Buffer.concat([build.zeroPage(undefined, 3), build.sectionEnd(3), build.sectionPart(3, 3)]);
  injector.push(rest);
  t.false(injector.canCommand);
  t.throws(
    () => {
      injector.injectCommand(2, build.number(4, 7));
    },
    { code: 'not-injectable' },
  );
  const end = build.sectionEnd(3);
  injector.push(end);
  const expected = Buffer.concat([
    ...[start, build.sectionPart(2, 3), build.zeroPage('ram0', 4), build.sectionEnd(3), ping],
    ...[part, build.sectionEnd(3), ping, build.sectionPart(2, 3), rest, end],
  ]);
  t.true(Buffer.concat(output).equals(expected));
  t.notThrows(() => loadStream(Buffer.concat(output)));
});

test('injects nowhere else', (t) => {
  const output: Buffer[] = [];
  let during: unknown;
  const injector: StreamInjector = new StreamInjector(
    {
      zeroPage: () => {
        t.false(injector.canInject);
        during ??= t.throws(() => {
          injector.injectZeroPage(0, 0);
        });
        return true;
      },
    },
    (buffer, start, end) => output.push(Buffer.from(buffer.subarray(start, end))),
  );
  const refused = { instanceOf: CodedError, name: 'StreamError', code: 'not-injectable' } as const;
  t.throws(() => {
    injector.injectPage(0, 0, content(1), 0);
  }, refused);
  const firstEnd = smallStream.indexOf(build.sectionEnd(3)) + 13;
  // Before RAM's first section has ended, cut at every byte.
  for (let at = 0; at < firstEnd; at += 1) {
    t.false(injector.canInject);
    injector.push(smallStream.subarray(at, at + 1));
  }
  t.true(injector.canInject);
  t.throws(() => {
    injector.injectPage(2, 0, content(1), 0);
  }, refused);
  t.throws(() => {
    injector.injectPage(1, 4, content(1), 0);
  }, refused);
  t.throws(() => {
    injector.injectPage(0, -1, content(1), 0);
  }, refused);
  injector.push(smallStream.subarray(firstEnd));
  t.true(isCoded(during, 'stream'));
  t.false(injector.canInject);
  t.throws(() => {
    injector.injectPage(0, 0, content(1), 0);
  }, refused);
  t.true(Buffer.concat(output).equals(smallStream));
});

test('a stream that turns out to be unfilterable after an injection is an error', (t) => {
  const injector = new StreamInjector({}, () => undefined);
  injector.push(build.streamStart(3, blocks));
  injector.injectZeroPage(0, 0);
  t.throws(() => injector.push(Buffer.concat([build.sectionPart(2, 3), build.number(8, 0x200)])), {
    instanceOf: CodedError,
    name: 'StreamError',
    code: 'unsupported',
  });
});

/** Where the package of a stream that becomes post-copy ends. */
function packageEnd(stream: Buffer): number {
  let moved = -1;
  const reader = new StreamReader({}, () => undefined, { postcopy: true });
  for (let at = 0; at < stream.length && moved < 0; at += 1) {
    reader.push(stream.subarray(at, at + 1));
    if (reader.moved) moved = at + 1;
  }
  return moved;
}

/** What a receiver gets of a stream that breaks off at `cut`, if it can be ended: the page `missing`, and an end. */
function endedAt(stream: Buffer, cut: number, missing: number, holdAtEnd: boolean): Buffer | undefined {
  const output: Buffer[] = [];
  const injector = new StreamInjector(
    {},
    (buffer, start, end) => output.push(Buffer.from(buffer.subarray(start, end))),
    { postcopy: true, holdAtEnd },
  );
  injector.push(stream.subarray(0, cut));
  if (injector.reader.missingEnd === undefined) {
    try {
      injector.endInstead();
    } catch (error) {
      if (isCoded(error, 'stream', 'not-injectable')) return undefined;
    }
    throw new Error('ended where it cannot be');
  }
  if (injector.canInject) injector.injectPage(0, missing, content(9), 0);
  injector.endInstead();
  if (injector.canInject) throw new Error('a page can be injected after the end');
  return Buffer.concat(output);
}

test('a stream that has become post-copy and breaks off at any byte is given an end, and a page before it', (t) => {
  const packaged = Buffer.concat([build.command(5), Buffer.alloc(20, 7)]);
  const stream = Buffer.concat([
    build.streamStart(3, [{ name: 'ram0', pageCount: 8 }]),
    build.sectionPart(2, 3),
    build.page('ram0', 0, content(1)),
    build.sectionEnd(3),
    build.command(7, build.number(4, packaged.length)),
    packaged,
    build.sectionPart(2, 3),
    build.page('ram0', 1, content(2)),
    build.zeroPage(undefined, 2),
    build.sectionEnd(3),
    build.command(2, build.number(4, 5)),
    build.sectionPart(3, 3),
    build.page('ram0', 3, content(4)),
    build.sectionEnd(3),
    build.number(1, 0),
  ]);
  const moved = packageEnd(stream);
  t.true(moved > 0);
  let ended = 0;
  for (const holdAtEnd of [true, false]) {
    for (let cut = 0; cut <= stream.length; cut++) {
      const output = endedAt(stream, cut, 7, holdAtEnd);
      if (cut < moved) t.is(output, undefined, `ended at ${cut}, before the VM has moved`);
      if (output === undefined) continue;
      ended += 1;
      const { memory, rest } = loadStream(output);
      t.deepEqual([...rest], [0], `cut at ${cut}`);
      t.true(memory.has('ram0/0'));
    }
  }
  // All but the few in the middle of a command.
  t.true(ended > 2 * (stream.length - moved - 16), `${ended} of ${2 * (stream.length - moved)}`);
  const whole = loadStream(endedAt(stream, moved, 7, true) ?? Buffer.alloc(0));
  t.deepEqual([...whole.memory.keys()], ['ram0/0', 'ram0/7']);
});
