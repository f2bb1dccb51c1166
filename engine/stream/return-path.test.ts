import test from 'ava';
import fc from 'fast-check';
import { CodedError } from '../../foundation/coded-error.ts';
import { returnPathMessage } from './records.ts';
import {
  encodePageRequest,
  encodeReturnPathMessage,
  PageRequestReader,
  ReturnPathReader,
  SwitchoverGate,
} from './return-path.ts';
import { readFixture } from './testing/fixtures.ts';
import { encodeReceivedBitmap } from './testing/received-bitmap.ts';

function read(stream: Buffer, step: number): string[] {
  const messages: string[] = [];
  const reader = new ReturnPathReader(({ type, data }) => messages.push(`${type} ${data.toString('hex')}`));
  for (let at = 0; at < stream.length; at += step) reader.push(stream.subarray(at, at + step));
  return messages;
}

test('reads what QEMU sends, cut anywhere', (t) => {
  const acknowledged = ['7 ', '2 00000001', '1 00000000'];
  for (const step of [1, 2, 3, 5, 7, 1000]) {
    t.deepEqual(read(readFixture('qemu-10.0-switchover-ack.return-path'), step), acknowledged);
    t.deepEqual(read(readFixture('qemu-11-switchover-ack-legacy.return-path'), step), acknowledged);
    t.deepEqual(read(readFixture('qemu-7.2-virtio-two-blocks.return-path'), step), acknowledged.slice(1));
  }
});

test('QEMU 11.1 does not acknowledge of itself, so that there is nothing to withhold', (t) => {
  const messages = read(readFixture('qemu-11-switchover-ack.return-path'), 1000);
  t.deepEqual(messages, ['2 00000001', '1 00000000']);
});

test('writes what it reads', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 255 }), fc.uint8Array({ maxLength: 300 }))),
      fc.integer({ min: 1, max: 600 }),
      (messages, step) => {
        const stream = messages.map(([type, data]) =>
          encodeReturnPathMessage({ type, data: Buffer.from(data) }),
        );
        const expected = messages.map(([type, data]) => `${type} ${Buffer.from(data).toString('hex')}`);
        t.deepEqual(read(Buffer.concat(stream), step), expected);
      },
    ),
  );
});

test('refuses messages that no QEMU sends', (t) => {
  for (const bytes of ['00000000', '01000000', '00020201', 'ffffffff']) {
    t.throws(() => read(Buffer.from(bytes, 'hex'), 4), {
      instanceOf: CodedError,
      name: 'StreamError',
      code: 'return-path',
    });
  }
});

test('the gate withholds the acknowledgement, and only that, until it opens', (t) => {
  for (const step of [1, 4, 1000]) {
    const stream = readFixture('qemu-10.0-switchover-ack.return-path');
    const output: Buffer[] = [];
    const gate = new SwitchoverGate((message) => output.push(message));
    for (let at = 0; at < stream.length; at += step) gate.push(stream.subarray(at, at + step));
    t.is(gate.state, 'ack-withheld');
    t.true(Buffer.concat(output).equals(stream.subarray(4)));
    gate.open();
    gate.open();
    t.is(gate.state, 'open');
    t.true(Buffer.concat(output).equals(Buffer.concat([stream.subarray(4), stream.subarray(0, 4)])));
  }
});

test('the open gate lets everything pass', (t) => {
  const output: Buffer[] = [];
  const gate = new SwitchoverGate((message) => output.push(message));
  gate.open();
  const ack = encodeReturnPathMessage({ type: returnPathMessage.switchoverAck, data: Buffer.alloc(0) });
  gate.push(ack);
  t.true(Buffer.concat(output).equals(ack));
});

test('requests for pages: each names its block or is of the one before, and is written with a name', (t) => {
  const data = Buffer.from('000000000001200000002000' + '04' + Buffer.from('ram0').toString('hex'), 'hex');
  const reader = new PageRequestReader();
  const first = reader.read({ type: returnPathMessage.requestPagesOfBlock, data });
  t.deepEqual(first, { blockName: 'ram0', pageIndex: 0x12, pageCount: 2 });
  t.deepEqual(
    reader.read({
      type: returnPathMessage.requestPages,
      data: Buffer.from('000000000001400000001000', 'hex'),
    }),
    { blockName: 'ram0', pageIndex: 0x14, pageCount: 1 },
  );
  t.is(reader.read({ type: returnPathMessage.pong, data: Buffer.alloc(4) }), undefined);
  t.deepEqual(
    first && encodePageRequest(first),
    encodeReturnPathMessage({ type: returnPathMessage.requestPagesOfBlock, data }),
  );
});

test('requests that no QEMU writes are refused', (t) => {
  const whole = Buffer.from('000000000001200000001000' + '04' + Buffer.from('ram0').toString('hex'), 'hex');
  const refused = (type: number, data: Buffer): void => {
    t.throws(() => new PageRequestReader().read({ type, data }), {
      instanceOf: CodedError,
      code: 'return-path',
    });
  };
  for (let cut = 0; cut < whole.length; cut++) {
    refused(returnPathMessage.requestPagesOfBlock, whole.subarray(0, cut));
  }
  // Of no block; half a page; none.
  refused(returnPathMessage.requestPages, whole.subarray(0, 12));
  refused(returnPathMessage.requestPagesOfBlock, Buffer.from('0000000000012800000010000161', 'hex'));
  refused(returnPathMessage.requestPagesOfBlock, Buffer.from('0000000000012000000000000161', 'hex'));
});

test('reads which pages a target has, between other messages, cut anywhere', (t) => {
  const ack = encodeReturnPathMessage({
    type: returnPathMessage.resumeAck,
    data: Buffer.from('00000001', 'hex'),
  });
  const stream = Buffer.concat([
    encodeReceivedBitmap('pc.ram', Buffer.from('ff00ff00ff00ff0f', 'hex')),
    encodeReceivedBitmap('vga', Buffer.alloc(24, 5)),
    ack,
  ]);
  for (const step of [1, 2, 3, 5, 7, 11, 1000]) {
    const read: string[] = [];
    const reader = new ReturnPathReader(
      ({ type, data }) => read.push(`${type} ${data.toString('hex')}`),
      ({ blockName, bits }) => read.push(`${blockName} ${bits.toString('hex')}`),
    );
    for (let at = 0; at < stream.length; at += step) reader.push(stream.subarray(at, at + step));
    t.deepEqual(read, ['pc.ram ff00ff00ff00ff0f', `vga ${'05'.repeat(24)}`, '6 00000001'], `${step}`);
  }
});

test('refuses a bitmap that no QEMU sends', (t) => {
  const good = encodeReceivedBitmap('a', Buffer.alloc(8));
  const bad = {
    'a name that is not all of the message': Buffer.concat([Buffer.from('000500020361', 'hex')]),
    'no length of a name': Buffer.from('00050000', 'hex'),
    'no bits': encodeReceivedBitmap('a', Buffer.alloc(0)),
    'bits that are no whole words': encodeReceivedBitmap('a', Buffer.alloc(9)),
    'more bits than any VM has pages': Buffer.concat([good.subarray(0, 6), Buffer.alloc(8, 0x7f)]),
    'another end': Buffer.concat([good.subarray(0, -1), Buffer.of(0)]),
  };
  for (const [what, bytes] of Object.entries(bad))
    t.throws(
      () => {
        new ReturnPathReader(
          () => undefined,
          () => undefined,
        ).push(bytes);
      },
      { code: 'return-path' },
      what,
    );
});
