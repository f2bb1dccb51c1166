import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { atListeningSocket, isListening } from './server-sockets.ts';

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

test.serial(
  'a socket is taken only if its inode stands on one line, and its file is the server’s user’s',
  async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'sockets-'));
    t.teardown(() => rm(folder, { recursive: true }));
    const path = join(folder, 's');
    const listen = async (where: string): Promise<void> => {
      const server = createServer((socket) => socket.end(where)).listen(where);
      await once(server, 'listening');
      t.teardown(() => server.close());
    };
    await listen(path);
    const itself = { pid: process.pid, userId: process.geteuid?.() ?? 0 };
    const seen: string[] = [];
    const wanted = (one: string): boolean => (seen.push(one), one === path);
    const client = atListeningSocket(itself, connect, wanted);
    t.deepEqual(seen, [path]);
    const [said] = (await once(client ?? t.fail('not found'), 'data')) as [Buffer];
    t.is(said.toString(), path);
    t.is(atListeningSocket({ ...itself, userId: itself.userId + 1 }, connect, wanted), undefined);
    const table = await readFile('/proc/self/net/unix', 'utf8');
    const inode =
      /(\d+) (\S+)$/.exec(table.split('\n').find((line) => line.endsWith(` ${path}`)) ?? '')?.[1] ?? '';
    // What any user can have the kernel print.
    await listen(`\0\n0: 2 0 00010000 1 1 ${inode} /forged`);
    seen.length = 0;
    t.is(
      atListeningSocket(itself, connect, (one) => (seen.push(one), true)),
      undefined,
    );
    t.deepEqual(seen, []);
  },
);
