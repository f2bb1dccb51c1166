/** What of the source's stream reaches the target, over a real socket. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { RestorePlan } from '../core/restore-plan.ts';
import { smallStream } from '../stream/testing/small-stream.ts';
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
