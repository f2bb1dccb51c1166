import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { isListening } from './server-sockets.ts';

test.serial('a process listens on TCP or on a unix socket, or not at all', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'sockets-'));
  t.teardown(() => rm(folder, { recursive: true }));
  for (const place of [{ host: '127.0.0.1', port: 0 }, { path: join(folder, 's') }]) {
    t.false(isListening(process.pid));
    const server = createServer((socket) => socket.on('error', () => undefined)).listen(place);
    await once(server, 'listening');
    t.true(isListening(process.pid));
    const address = server.address();
    const client = connect(typeof address === 'string' ? { path: address } : { port: Number(address?.port) });
    await once(client, 'connect');
    // Connections stay when the listening ends.
    server.close();
    while (isListening(process.pid)) await new Promise(setImmediate);
    t.false(isListening(process.pid));
    client.destroy();
    await once(server, 'close');
  }
});

test('a process that has ended does not listen', (t) => {
  // Beyond the largest number that Linux gives.
  t.false(isListening(2 ** 22 + 1));
});
