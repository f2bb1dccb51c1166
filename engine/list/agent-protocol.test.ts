import test from 'ava';
import {
  AnswerReader,
  type AnswerEvent,
  formatAnswer,
  formatRequest,
  RequestReader,
} from './agent-protocol.ts';

const list = Buffer.from('\nPOOLSHIFT 77 {"status":"error"}\n\n{"id":"x"}\n and other traps');
const answer = Buffer.concat([
  formatAnswer('77', { status: 'working' }),
  formatAnswer('77', { status: 'list', byteLength: list.length, cleanMs: 1, totalMs: 2 }),
  list,
]);
const expected: AnswerEvent[] = [
  { kind: 'header', header: { status: 'working' } },
  { kind: 'header', header: { status: 'list', byteLength: list.length, cleanMs: 1, totalMs: 2 } },
  { kind: 'list', bytes: list },
];

function read(pieces: readonly Buffer[], maxListBytes = 1000): AnswerEvent[] {
  const reader = new AnswerReader('77', maxListBytes);
  return pieces.flatMap((piece) => reader.push(piece));
}

test('an answer reads the same wherever it is cut', (t) => {
  for (let cut = 0; cut <= answer.length; cut++)
    t.deepEqual(read([answer.subarray(0, cut), answer.subarray(cut)]), expected, `cut at ${cut}`);
  t.deepEqual(read([...answer].map((byte) => Buffer.from([byte]))), expected);
});

test('the rest of an answer to somebody else is skipped, wherever it breaks off', (t) => {
  const stale = Buffer.concat([
    formatAnswer('76', { status: 'list', byteLength: 500, cleanMs: 0, totalMs: 0 }),
    Buffer.alloc(300, '\nPOOLSHIFT 7'),
  ]);
  for (let from = 0; from <= stale.length; from++)
    t.deepEqual(read([Buffer.concat([stale.subarray(from), answer])]), expected, `stale from ${from}`);
});

test('a list longer than allowed is refused at its first line', (t) => {
  const events = read([answer], list.length - 1);
  t.is(events.length, 2);
  t.is(events[1]?.kind, 'invalid');
});

test('a first line that is no answer, or has no end, is refused', (t) => {
  for (const text of ['nonsense\n', '{"status":"list","byteLength":-1}\n', 'null\n', 'x'.repeat(70_000)])
    t.deepEqual(
      read([Buffer.from(`\nPOOLSHIFT 77 ${text}`)]).map((event) => event.kind),
      ['invalid'],
      text.slice(0, 40),
    );
});

test('requests are read across cuts; what is no request is dropped', (t) => {
  const bytes = Buffer.concat([
    Buffer.from('{"id":"cut off in the mid'),
    formatRequest({ id: 'a1', request: 'status' }),
    Buffer.from('x'.repeat(10_000)),
    formatRequest({ id: 'a2', request: 'list', clean: 'checkpoint', hotFirst: true }),
    Buffer.from('{"id":"a b","request":"status"}\n{"id":"a3","request":"reboot"}\nnull\n'),
    formatRequest({ id: 'a4', request: 'list', clean: 'none', hotFirst: false }),
    // Of a host that does not know of it.
    Buffer.from('{"id":"a5","request":"list","clean":"none"}\n'),
  ]);
  for (let cut = 0; cut <= bytes.length; cut += 7) {
    const reader = new RequestReader();
    const requests = [...reader.push(bytes.subarray(0, cut)), ...reader.push(bytes.subarray(cut))];
    t.deepEqual(requests, [
      { id: 'a1', request: 'status' },
      { id: 'a2', request: 'list', clean: 'checkpoint', hotFirst: true },
      { id: 'a4', request: 'list', clean: 'none', hotFirst: false },
      { id: 'a5', request: 'list', clean: 'none', hotFirst: false },
    ]);
  }
});
