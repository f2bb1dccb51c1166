/** What of the source's stream reaches the target, over a real socket. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { RestorePlan } from '../core/restore-plan.ts';
import * as build from '../stream/testing/build-stream.ts';
import { smallStream } from '../stream/testing/small-stream.ts';
import { endOfFileAt } from '../stream/stream-end.ts';
import { TargetOutput } from './target-output.ts';
import { TargetStream } from './target-stream.ts';

/** As in the small stream. */
const uuid = '00112233-4455-6677-8899-AABBCCDDEEFF';
const anotherUuid = '00112233-4455-6677-8899-aabbccddee00';

/** A target, and all that it gets before `finish` settles. */
async function target(t: ExecutionContext): Promise<{ output: TargetOutput; finish: () => Promise<Buffer> }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const socket = connect(address.port, '127.0.0.1');
  const [accepted] = (await once(server, 'connection')) as [Socket];
  t.teardown(() => {
    socket.destroy();
    accepted.destroy();
    server.close();
  });
  const got: Buffer[] = [];
  accepted.on('data', (chunk: Buffer) => got.push(chunk));
  return {
    output: new TargetOutput(socket),
    finish: async () => {
      socket.end();
      await once(accepted, 'end');
      return Buffer.concat(got);
    },
  };
}

for (const chunkBytes of [1, 40, smallStream.length]) {
  test(`nothing of another VM reaches the target, in pieces of ${chunkBytes} bytes`, async (t) => {
    const { output, finish } = await target(t);
    const stream = new TargetStream(new RestorePlan(), output, anotherUuid, () => undefined);
    const error = t.throws(
      () => {
        for (let at = 0; at < smallStream.length; at += chunkBytes) {
          stream.push(smallStream.subarray(at, at + chunkBytes));
          output.flush();
        }
      },
      { code: 'another-vm' },
    );
    t.notRegex(error.message, /00112233/);
    t.is((await finish()).length, 0);
  });

  for (const vm of [uuid, 'a name', undefined]) {
    test(`the beginning of the stream is whole for ${vm ?? 'no VM in particular'}, in pieces of ${chunkBytes} bytes`, async (t) => {
      const { output, finish } = await target(t);
      const stream = new TargetStream(new RestorePlan(), output, vm, () => undefined);
      for (let at = 0; at < smallStream.length; at += chunkBytes) {
        stream.push(smallStream.subarray(at, at + chunkBytes));
        output.flush();
      }
      const got = await finish();
      t.true(got.length > 20_000);
      t.true(got.equals(smallStream.subarray(0, got.length)));
    });
  }
}

test('of a stream that is passed through, the target gets no end of file byte before the commit, however long the description', async (t) => {
  const { output, finish } = await target(t);
  const stream = new TargetStream(new RestorePlan(), output, undefined, () => undefined);
  const text = `{"page_size":4096,"devices":[${' '.repeat(3 * 1024 * 1024)}]}`;
  const whole = Buffer.concat([
    // An iterable section that the engine does not know.
    ...[build.magic, build.configuration('pc-q35-10.0'), build.sectionStart(1, 7, 'vfio', 1)],
    Buffer.alloc(6 * 1024 * 1024, 1),
    ...[build.number(1, 0), build.number(1, 6), build.number(4, text.length), Buffer.from(text)],
  ]);
  for (let at = 0; at < whole.length; at += 65_536) stream.push(whole.subarray(at, at + 65_536));
  output.flush();
  const got = await finish();
  t.true(got.length > 1024 * 1024);
  t.true(got.equals(whole.subarray(0, got.length)));
  t.true(got.length <= endOfFileAt(whole), `${got.length} bytes of ${whole.length}`);
});
