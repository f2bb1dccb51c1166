/**
 * Why pages may be written beside the target's stream (docs/engine-design.md, Placement), as a model with random interleavings: the
 * destination's own stream and fence between records and restored pages on one side, and on the other a loader that loads them
 * late, into the memory that is written to at the same time.
 */
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import type { EngineEvent } from '../core/engine-event.ts';
import type { TargetRam } from '../core/outside.ts';
import { RestorePlan } from '../core/restore-plan.ts';
import * as build from '../stream/testing/build-stream.ts';
import { StreamReader } from '../stream/reader.ts';
import { streamCommand } from '../stream/records.ts';
import { loadStream } from '../stream/testing/load-stream.ts';
import { TargetStream } from './target-stream.ts';

const pageCount = 10;
const blocks = [
  { name: 'rom', pageCount: 3 },
  { name: 'ram', pageCount },
];
const ramId = 5;
/** Pages with content `id`; 0 is a page of zeros. */
const pageOf = (id: number): Buffer => Buffer.alloc(4096, id);

/** What is found as the target's memory. */
type Found = 'the target' | 'other memory' | 'a copy of the source';
/** When a PING is answered: as QEMU does, or before what precedes it is loaded. */
type Answers = 'when loaded' | 'too early';

const steps = [
  ...(['record', 'record', 'record', 'zero', 'of another block', 'restore', 'restore'] as const),
  ...(['section', 'send', 'send', 'load', 'pong'] as const),
] as const;
type Step = (typeof steps)[number];

class World {
  readonly events: EngineEvent[] = [];
  readonly stream: TargetStream;
  /** The last content of each page in the order of records and restored pages. */
  readonly wanted = new Uint8Array(pageCount);
  readonly memory = Buffer.alloc(pageCount * 4096);
  readonly loader: StreamReader;
  /** All that the target got. */
  readonly handedOn: Buffer[] = [];
  /** Placed pages of which a record came later. */
  overtaken = 0;
  #input: Buffer;
  #inSection = false;
  readonly #output: Buffer[] = [];
  /** PINGs that were not loaded yet, and those that the target has answered. */
  readonly #pings: number[] = [];
  readonly #pongs: number[] = [];
  readonly #placed = new Set<number>();

  constructor(found: Found, answers: Answers) {
    const loaded = (block: number, page: number, content: Buffer): boolean => {
      if (block === 1) content.copy(this.memory, page * 4096);
      return true;
    };
    this.loader = new StreamReader(
      {
        page: (block, page, buffer, offset) => loaded(block, page, buffer.subarray(offset, offset + 4096)),
        zeroPage: (block, page) => loaded(block, page, pageOf(0)),
        command: (command) => {
          const value = command === streamCommand.ping ? this.#pings.shift() : undefined;
          if (value !== undefined) this.#pongs.push(value);
        },
      },
      () => undefined,
    );
    const other = Buffer.alloc(this.memory.length);
    const ram: TargetRam = {
      how: 'file',
      read: (page, _count, into, offset) => {
        if (found === 'a copy of the source') pageOf(this.wanted[page] ?? 0).copy(into, offset);
        else
          (found === 'the target' ? this.memory : other).copy(into, offset, page * 4096, (page + 1) * 4096);
      },
      write: (page, count, from, offset) => {
        from.copy(found === 'the target' ? this.memory : other, page * 4096, offset, offset + count * 4096);
      },
    };
    this.stream = new TargetStream(
      new RestorePlan(),
      {
        add: (buffer, start, end) => {
          const bytes = Buffer.from(buffer.subarray(start, end));
          this.#output.push(bytes);
          this.handedOn.push(bytes);
          if (bytes.length === 4 && bytes.readUInt16BE() === 0x706f)
            (answers === 'too early' ? this.#pongs : this.#pings).push(bytes.readUInt32BE());
        },
        hold: () => undefined,
        endHere: () => undefined,
      },
      undefined,
      (event) => this.events.push(event),
      () => ({ block: () => ram, close: () => undefined }),
    );
    this.#input = Buffer.concat([
      build.magic,
      build.configuration('pc-q35-10.0'),
      build.command(1),
      build.sectionStart(1, ramId, 'ram', 4),
      build.memorySizes(blocks),
      build.sectionEnd(ramId),
    ]);
    // Enough records for the samples, and time to judge them.
    for (let page = 0; page < 8; page++) this.step('record', page);
    this.#flow();
    // They are judged while more records are on their way: nothing is handed on any more when all pages are free.
    for (let page = 4; page < pageCount; page++) this.step('record', page);
    this.step('send', 1 << 20);
    this.step('pong', 0);
  }

  /** All is sent and loaded. */
  #flow(): void {
    while (this.#input.length > 0) this.step('send', 1 << 20);
    while (this.#output.length > 0) this.step('load', 1 << 20);
  }

  step(step: Step, choice: number): void {
    const page = choice % pageCount;
    const id = 1 + (choice % 250);
    switch (step) {
      case 'record':
        this.#record(page, id, build.page('ram', page, pageOf(id)));
        return;
      case 'zero':
        this.#record(page, 0, build.zeroPage('ram', page));
        return;
      case 'of another block':
        this.#add(build.page('rom', choice % 3, pageOf(id)));
        return;
      case 'restore': {
        if (this.#input.length > 0 || !this.stream.injector.canInject) return;
        const buffer = Buffer.concat([pageOf(id), pageOf(id + 1)]);
        const before = this.stream.placedPages;
        for (let i = 0; i < Math.min(2, pageCount - page); i++) {
          this.stream.restore(1, page + i, buffer, i * 4096);
          this.wanted[page + i] = id + i;
        }
        this.stream.restored();
        if (this.stream.placedPages > before) this.#placed.add(page);
        buffer.fill(0xff);
        return;
      }
      case 'section':
        if (this.#inSection) this.#input = Buffer.concat([this.#input, build.sectionEnd(ramId)]);
        this.#inSection = false;
        return;
      case 'send': {
        // Cut anywhere, and used again by whoever reads it.
        const chunk = Buffer.from(this.#input.subarray(0, choice));
        this.#input = this.#input.subarray(chunk.length);
        const goesOn = this.stream.injector.reader.position !== 'held';
        if (chunk.length > 0 && goesOn) this.stream.push(chunk);
        chunk.fill(0xff);
        return;
      }
      case 'load': {
        let bytes = choice;
        for (let next = this.#output.shift(); next !== undefined; next = this.#output.shift()) {
          this.loader.push(next.subarray(0, bytes));
          if (next.length > bytes) this.#output.unshift(next.subarray(bytes));
          if (next.length >= bytes) return;
          bytes -= next.length;
        }
        return;
      }
      case 'pong': {
        const value = this.#pongs.shift();
        if (value !== undefined && !this.stream.pong(value))
          throw new Error('a PING of the engine is not known');
      }
    }
  }

  #record(page: number, id: number, bytes: Buffer): void {
    if (this.#placed.delete(page)) this.overtaken += 1;
    this.wanted[page] = id;
    this.#add(bytes);
  }

  #add(record: Buffer): void {
    const begin = this.#inSection ? Buffer.alloc(0) : build.sectionPart(2, ramId);
    this.#inSection = true;
    this.#input = Buffer.concat([this.#input, begin, record]);
  }

  /** RAM ends. */
  end(): void {
    this.step('section', 0);
    this.#input = Buffer.concat([
      this.#input,
      build.sectionPart(3, ramId),
      build.page('ram', 0, pageOf(this.wanted[0] ?? 0)),
      build.sectionEnd(ramId),
    ]);
    this.#flow();
  }

  /** Pages that are not what they should be. */
  get wrongPages(): number[] {
    return [...this.wanted.keys()].filter(
      (page) => !this.memory.subarray(page * 4096, (page + 1) * 4096).equals(pageOf(this.wanted[page] ?? 0)),
    );
  }
}

interface Happened {
  placed: number;
  streamed: number;
  overtaken: number;
}

/** Runs scripts; `check` sees how each ended. */
function play(found: Found, answers: Answers, check: (world: World) => void): Happened {
  const happened: Happened = { placed: 0, streamed: 0, overtaken: 0 };
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom(...steps), fc.nat(20_000)), {
        minLength: 60,
        maxLength: 200,
        size: 'max',
      }),
      (script) => {
        const world = new World(found, answers);
        for (const [step, choice] of script) world.step(step, choice);
        world.end();
        happened.placed += world.stream.placedPages;
        happened.streamed += world.stream.streamedPages;
        happened.overtaken += world.overtaken;
        check(world);
      },
    ),
    { numRuns: 100 },
  );
  return happened;
}

const memoryIsRight =
  (t: ExecutionContext) =>
  (world: World): void => {
    t.is(world.loader.position, 'device-state');
    // QEMU's own loader takes it, too.
    t.notThrows(() => loadStream(Buffer.concat(world.handedOn)));
    t.deepEqual(world.wrongPages, []);
  };

test('whatever the interleaving, pages that are placed and pages that are loaded leave the right memory', (t) => {
  const happened = play('the target', 'when loaded', memoryIsRight(t));
  for (const pages of Object.values(happened)) t.true(pages > 20, JSON.stringify(happened));
});

test('where a PING is answered before what precedes it is loaded, memory does not stay right: the fence is needed', (t) => {
  let wrong = 0;
  play('the target', 'too early', (world) => {
    wrong += world.wrongPages.length;
  });
  t.true(wrong > 5, `${wrong}`);
});

for (const found of ['other memory', 'a copy of the source'] as const) {
  test(`nothing is placed into ${found}`, (t) => {
    const check = memoryIsRight(t);
    const happened = play(found, 'when loaded', (world) => {
      check(world);
      t.false(world.events.some(({ event }) => event === 'placing'));
    });
    t.is(happened.placed, 0);
    t.true(happened.streamed > 100);
  });
}
