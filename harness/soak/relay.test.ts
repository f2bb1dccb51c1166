import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import test, { type ExecutionContext } from 'ava';
import { afterBytes, Relay } from './relay.ts';

/** A relay before a server that keeps what it gets, and a client of it. */
async function relayed(t: ExecutionContext): Promise<{ relay: Relay; client: Socket; server: Socket }> {
  const listener = createServer({ allowHalfOpen: true });
  const accepted = once(listener, 'connection') as Promise<[Socket]>;
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const relay = await Relay.start({ host: '127.0.0.1', port: address.port });
  const port = Number(relay.address.split(':').at(-1));
  const client = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  const [server] = await accepted;
  for (const socket of [client, server]) socket.on('error', () => undefined);
  t.teardown(() => {
    relay.close();
    client.destroy();
    server.destroy();
    listener.close();
  });
  return { relay, client, server };
}

function closedBy(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', () => {
      resolve();
    });
  });
}

/** Whether anything answers there: a refused connection ends with an error or without a byte. */
async function reached(socket: Socket): Promise<boolean> {
  let gotBytes = false;
  socket.on('error', () => undefined);
  socket.on('data', () => {
    gotBytes = true;
  });
  await closedBy(socket);
  return gotBytes;
}

test('both directions pass, and one may end before the other', async (t) => {
  const { client, server } = await relayed(t);
  client.end('question');
  t.is(await text(server), 'question');
  server.end('answer');
  t.is(await text(client), 'answer');
});

test('a stream is held at the byte, and goes on when what was to be done is done', async (t) => {
  const { relay, client, server } = await relayed(t);
  const reached = Promise.withResolvers<undefined>();
  const done = Promise.withResolvers<undefined>();
  relay.watch('forward', afterBytes(5), async () => {
    reached.resolve(undefined);
    await done.promise;
  });
  client.end('0123456789');
  await reached.promise;
  const [first] = (await once(server, 'data')) as [Buffer];
  t.is(first.toString(), '01234');
  done.resolve(undefined);
  t.is(await text(server), '56789');
});

test('one bit of what comes next', async (t) => {
  const { relay, client, server } = await relayed(t);
  relay.flip('forward', 0.5, 0);
  client.end('AAAA');
  t.is(await text(server), 'AA@A');
});

test('what is paused crosses later, its end too', async (t) => {
  const { relay, client, server } = await relayed(t);
  relay.pause();
  client.end('late');
  let sawEnd = false;
  const all = text(server).then((received) => {
    sawEnd = true;
    return received;
  });
  // A connection beside it shows that the machine has had its turn.
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.false(sawEnd);
  relay.resume();
  t.is(await all, 'late');
});

test('a cut ends both connections', async (t) => {
  const { relay, client, server } = await relayed(t);
  const closed = Promise.all([closedBy(client), closedBy(server)]);
  client.write('x');
  await once(server, 'data');
  client.resume();
  server.resume();
  relay.cut('reset');
  await closed;
  t.true(client.destroyed && server.destroyed);
});

test('a relay that refuses lets no new connection through', async (t) => {
  const { relay, client, server } = await relayed(t);
  relay.refuse(true);
  const port = Number(relay.address.split(':').at(-1));
  const refused = connect({ host: '127.0.0.1', port });
  t.false(await reached(refused));
  // The one that is there goes on.
  client.end('still');
  t.is(await text(server), 'still');
});

test('so does one on a unix socket, which cannot be reset', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'poolshift-relay-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const relay = await Relay.start({ host: '127.0.0.1', port: 1 }, path.join(folder, 'socket'));
  t.teardown(() => {
    relay.close();
  });
  relay.refuse(true);
  t.false(await reached(connect(relay.address)));
});
