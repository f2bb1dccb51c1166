/** Who may be the other engine, and what strangers can do to a destination that waits: nothing. Both engines in this process. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect as connectTls } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import type { Interrupts } from '../core/engine-options.ts';
import { runDestination } from '../destination/destination-engine.ts';
import type { EngineEvent } from '../core/engine-event.ts';
import { runSource } from '../source/source-engine.ts';
import { frameHeader } from '../wire/frame.ts';
import { defaultLiveness, type Liveness, ownHello } from '../wire/hello.ts';
import { encodeMessage } from '../wire/messages.ts';
import { peerGate, type PeerSecurity, pskIdentity } from '../wire/peer-security.ts';
import { makeKey, writeKey } from '../wire/pre-shared-key.ts';
import { peerSecurity } from './peer-options.ts';
import { makeCertificates, mixCertificates } from './testing/certificates.ts';
import { EngineProcess } from './testing/vm-pair.ts';

const plaintext: PeerSecurity = { by: 'nothing' };
const newKey = (): PeerSecurity => ({ by: 'pre-shared-key', key: Buffer.from(makeKey(), 'hex') });

/** The events of one engine, and a way to wait for one. */
class Events {
  readonly all: EngineEvent[] = [];
  readonly #waiting: (() => void)[] = [];

  readonly take = (event: EngineEvent): void => {
    this.all.push(event);
    for (const wake of this.#waiting.splice(0)) wake();
  };

  async next<N extends EngineEvent['event']>(
    name: N,
    index = 0,
  ): Promise<Extract<EngineEvent, { event: N }>> {
    for (;;) {
      const found = this.all.filter(
        (event): event is Extract<EngineEvent, { event: N }> => event.event === name,
      )[index];
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}

/** A signal to an engine of this process. */
class Interruption implements Interrupts {
  readonly #listeners: (() => void)[] = [];

  subscribe(listener: () => void): void {
    this.#listeners.push(listener);
  }

  send(): void {
    for (const listener of this.#listeners) listener();
  }
}

interface Waiting {
  readonly port: number;
  readonly events: Events;
}

function folderOf(t: ExecutionContext): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-peers-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  return folder;
}

/** A destination engine that waits for its source. */
async function destination(
  t: ExecutionContext,
  security: PeerSecurity,
  options: { readonly vm?: string; readonly liveness?: Liveness } = {},
): Promise<Waiting> {
  const events = new Events();
  const interrupt = new Interruption();
  const outcome = runDestination({
    listen: { host: '127.0.0.1', port: 0 },
    incomingPath: '/nowhere',
    storage: [],
    security,
    interrupts: interrupt,
    onEvent: events.take,
    ...options,
  });
  t.teardown(async () => {
    interrupt.send();
    await outcome;
  });
  const { address } = await events.next('listening');
  return { port: Number(address.split(':')[1]), events };
}

/** A source engine. Settles when it has greeted, or failed. */
async function source(
  t: ExecutionContext,
  port: number,
  security: PeerSecurity,
  options: { readonly vm?: string; readonly host?: string; readonly liveness?: Liveness } = {},
): Promise<Extract<EngineEvent, { event: 'connected' | 'failed' }>> {
  const { host = '127.0.0.1', ...rest } = options;
  const events = new Events();
  const interrupt = new Interruption();
  const outcome = runSource({
    listenPath: path.join(folderOf(t), 'outgoing'),
    destination: { host, port },
    strategy: 'passthrough',
    compression: 'none',
    security,
    interrupts: interrupt,
    onEvent: events.take,
    ...rest,
  });
  t.teardown(async () => {
    interrupt.send();
    await outcome;
  });
  return Promise.race([events.next('connected'), events.next('failed')]);
}

/** Somebody else who connects, and what he is told. */
async function stranger(
  t: ExecutionContext,
  port: number,
  says: Buffer = Buffer.alloc(0),
): Promise<{ readonly socket: Socket; readonly told: () => Buffer; readonly gone: Promise<unknown> }> {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => undefined);
  t.teardown(() => socket.destroy());
  const told: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => told.push(chunk));
  const gone = new Promise((resolve) => socket.once('close', resolve));
  await once(socket, 'connect');
  socket.write(says);
  return { socket, told: () => Buffer.concat(told), gone };
}

const plainFrame = (type: 'hello' | 'sources' | 'stream', payload: Buffer): Buffer =>
  Buffer.concat([frameHeader(type, payload, undefined, 'checksums'), payload]);
const sourceHello = (vm?: string): Buffer =>
  plainFrame('hello', encodeMessage(ownHello('source', vm, defaultLiveness)));

test('engines with the same key find each other', async (t) => {
  const key = newKey();
  const { port, events } = await destination(t, key, { vm: 'one' });
  t.like(await source(t, port, key, { vm: 'one' }), { event: 'connected' });
  await events.next('connected');
  t.deepEqual(
    events.all.map(({ event }) => event),
    ['listening', 'connected'],
  );
});

test('with another key both say so, and the destination goes on waiting for the right one', async (t) => {
  const key = newKey();
  const { port, events } = await destination(t, key);
  t.like(await source(t, port, newKey()), {
    event: 'failed',
    code: 'not-authenticated',
    reason: 'the other engine has another key',
  });
  t.like(await events.next('stranger'), { reason: 'the other engine has another key', strangers: 1 });
  t.like(await source(t, port, key), { event: 'connected' });
});

test('a destination that is not there is not said to have another key', async (t) => {
  // A port that nobody listens on any more.
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  const failed = await source(t, port, newKey());
  t.regex(
    failed.event === 'failed' ? failed.reason : '',
    /ECONNREFUSED.*; start the destination engine first/,
  );
});

test('a source without TLS is a stranger to a destination with it', async (t) => {
  const key = newKey();
  const { port, events } = await destination(t, key);
  const failed = await source(t, port, plaintext);
  t.like(failed, { event: 'failed', code: 'closed' });
  t.regex(failed.event === 'failed' ? failed.reason : '', /before it greeted; .*only one engine has one/);
  t.like(await events.next('stranger'), { reason: 'it does not speak TLS' });
  t.like(await source(t, port, key), { event: 'connected' });
});

test('a source with TLS is a stranger to a destination without, and plaintext is said on both sides', async (t) => {
  const { port, events } = await destination(t, plaintext);
  const failed = await source(t, port, newKey());
  t.like(failed, { event: 'failed', code: 'not-authenticated' });
  t.regex(failed.event === 'failed' ? failed.reason : '', /does not speak TLS/);
  t.regex((await events.next('stranger')).reason, /speaks TLS/);
  t.is(events.all[0]?.event, 'insecure-plaintext');
  t.like(await source(t, port, plaintext), { event: 'connected' });
});

test('a destination that is told to end has said its last word, whoever was knocking', async (t) => {
  const events = new Events();
  const interrupt = new Interruption();
  const outcome = runDestination({
    listen: { host: '127.0.0.1', port: 0 },
    incomingPath: '/nowhere',
    storage: [],
    security: newKey(),
    interrupts: interrupt,
    onEvent: events.take,
  });
  const { address } = await events.next('listening');
  const { gone } = await stranger(t, Number(address.split(':')[1]), Buffer.from([22, 3, 1]));
  // He is in the waiting room once the engine has accepted him, which it does in the order of its sockets' events.
  await new Promise((resolve) => setTimeout(resolve, 50));
  interrupt.send();
  await Promise.all([outcome, gone]);
  await new Promise((resolve) => setImmediate(resolve));
  t.is(events.all.at(-1)?.event, 'cancelled');
});

for (const security of [plaintext, newKey()]) {
  test(`the wrong VM is refused and not named, the right one taken (by ${security.by})`, async (t) => {
    const { port, events } = await destination(t, security, { vm: 'the orders database' });
    for (const [vm, reason] of [
      ['the billing database', /^the other engine (gave up: the other engine )?is for another VM$/],
      [undefined, /one engine was told which VM \(--vm\), the other was not$/],
    ] as const) {
      const failed = await source(t, port, security, vm === undefined ? {} : { vm });
      t.regex(failed.event === 'failed' ? failed.reason : '', reason);
    }
    t.regex((await events.next('stranger', 1)).reason, /one engine was told/);
    t.like(await source(t, port, security, { vm: 'the orders database' }), { event: 'connected' });
    const told = JSON.stringify(events.all);
    t.false(told.includes('billing'));
  });
}

test('a destination tells nobody anything who has not greeted, and nobody its VM', async (t) => {
  const { port, events } = await destination(t, plaintext, { vm: 'the orders database' });
  const silent = await stranger(t, port);
  const wrong = await stranger(t, port, sourceHello('another'));
  await wrong.gone;
  t.regex(wrong.told().toString('latin1'), /another VM/);
  t.false(wrong.told().includes('orders'));
  const other = await stranger(t, port, sourceHello());
  await other.gone;
  t.false(other.told().includes('orders'));
  t.is(silent.told().length, 0);
  t.is(events.all.filter(({ event }) => event === 'stranger').length, 2);
});

const garbage: Readonly<Record<string, () => Buffer>> = {
  'random bytes': () => randomBytes(4096),
  zeros: () => Buffer.alloc(64),
  HTTP: () => Buffer.from('GET / HTTP/1.1\r\n\r\n'),
  'a TLS record of garbage': () => Buffer.concat([Buffer.from('1603010200', 'hex'), randomBytes(512)]),
  'a beginning of TLS and no more': () => Buffer.from('160301020001', 'hex'),
  'a frame of 4 GiB': () => Buffer.from('01000000ffffffffffffffff0000000000000000', 'hex'),
  'sources before the greeting': () => plainFrame('sources', Buffer.alloc(1 << 20)),
  'a stream before the greeting': () => plainFrame('stream', Buffer.alloc(1000)),
  'JSON that is deep': () => plainFrame('hello', Buffer.from('['.repeat(4096))),
  'a greeting that is none': () => plainFrame('hello', Buffer.from('{"__proto__":{"protocol":2}}')),
  "a destination's greeting": () =>
    plainFrame('hello', encodeMessage(ownHello('destination', undefined, defaultLiveness))),
};

for (const security of [plaintext, newKey()]) {
  test(`garbage ends no wait (by ${security.by})`, async (t) => {
    const { port, events } = await destination(t, security);
    for (const make of Object.values(garbage)) {
      await stranger(t, port, make());
      const { socket } = await stranger(t, port, make());
      socket.end();
    }
    t.like(await source(t, port, security), { event: 'connected' });
    await events.next('connected');
  });

  test(`who trickles is let go, and does not keep the source out (by ${security.by})`, async (t) => {
    // Time enough for the real source on a busy machine.
    const liveness = { heartbeatMs: 50, timeoutMs: 3000 };
    const { port, events } = await destination(t, security, { liveness });
    const begins =
      security.by === 'nothing'
        ? Buffer.concat([frameHeader('hello', Buffer.alloc(4096, ' '), undefined, 'checksums')])
        : Buffer.from('1603010fff0100', 'hex');
    const tricklers = await Promise.all(Array.from({ length: 5 }, () => stranger(t, port, begins)));
    const trickle = setInterval(() => {
      for (const { socket } of tricklers) socket.write(' ');
    }, 20);
    t.teardown(() => {
      clearInterval(trickle);
    });
    await Promise.all(tricklers.map(({ gone }) => gone));
    t.regex((await events.next('stranger')).reason, /no greeting within 3000 ms|handshake/);
    t.like(await source(t, port, security, { liveness }), { event: 'connected' });
  });
}

test('a key that is shown without a greeting is let go too', async (t) => {
  const key = newKey();
  const { port, events } = await destination(t, key, { liveness: { heartbeatMs: 500, timeoutMs: 3000 } });
  const { connectToPeer } = await import('../wire/peer-security.ts');
  const { ReadBuffer } = await import('../wire/fast-socket.ts');
  const secured = Promise.withResolvers<undefined>();
  const socket = connectToPeer(
    key,
    { host: '127.0.0.1', port },
    new ReadBuffer(4096),
    () => true,
    () => {
      secured.resolve(undefined);
    },
  );
  t.teardown(() => socket.destroy());
  // It is reset or closed, as the moment has it.
  socket.on('error', () => undefined);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  await secured.promise;
  await closed;
  t.regex((await events.next('stranger')).reason, /no greeting|not greeted/);
});

function residentBytes(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kibibytes) * 1024;
}

for (const from of ['the same address', 'another address'] as const) {
  test(`a thousand silent connections from ${from} cost no memory and keep nobody out`, async (t) => {
    const keyFile = path.join(folderOf(t), 'key');
    const key = makeKey();
    writeKey(keyFile, key);
    const engine = new EngineProcess([
      ...['destination', '--listen', '127.0.0.1:0', '--incoming', 'unix:/nowhere'],
      ...['--psk-file', keyFile],
    ]);
    t.teardown(async () => {
      engine.kill('SIGKILL');
      await engine.ended;
    });
    const { address } = await engine.event('listening');
    const port = Number(address.split(':')[1]);
    const before = residentBytes(engine.pid ?? 0);
    const localAddress = from === 'the same address' ? '127.0.0.1' : '127.0.0.2';
    const sockets: Socket[] = [];
    t.teardown(() => {
      for (const socket of sockets) socket.destroy();
    });
    let open = 0;
    for (let i = 0; i < 1000; i++) {
      const socket = connect({ host: '127.0.0.1', port, localAddress });
      socket.on('error', () => undefined);
      socket.on('close', () => (open -= 1));
      sockets.push(socket);
      await once(socket, 'connect');
      open += 1;
      // A beginning of a handshake, so that there is something to keep.
      socket.write(Buffer.from('1603010fff010000', 'hex'));
    }
    while (open > 128) await new Promise((resolve) => setTimeout(resolve, 10));
    t.is(open, 128);
    t.like(await source(t, port, { by: 'pre-shared-key', key: Buffer.from(key, 'hex') }), {
      event: 'connected',
    });
    const grown = residentBytes(engine.pid ?? 0) - before;
    t.true(grown < 64 * 2 ** 20, `${(grown / 2 ** 20).toFixed(0)} MiB more`);
    t.log(`${(grown / 2 ** 20).toFixed(0)} MiB more`);
    const told = engine.events.filter(({ event }) => event === 'stranger');
    t.true(told.length < 32, `${told.length} lines`);
  });
}

test('a hundred addresses that connect while the source shows its key do not keep it out', async (t) => {
  const key = Buffer.from(makeKey(), 'hex');
  const { port } = await destination(t, { by: 'pre-shared-key', key });
  const { socket, gone } = await stranger(t, port);
  for (let i = 1; i <= 100; i++) {
    const other = connect({ host: '127.0.0.1', port, localAddress: `127.0.1.${i}` });
    other.on('error', () => undefined);
    t.teardown(() => other.destroy());
    await once(other, 'connect');
  }
  const secured = connectTls({
    socket,
    minVersion: 'TLSv1.3',
    ciphers: 'TLS_AES_128_GCM_SHA256',
    pskCallback: () => ({ psk: key, identity: pskIdentity }),
    checkServerIdentity: () => undefined,
  });
  t.is(
    await Promise.race([once(secured, 'secureConnect').then(() => 'shown'), gone.then(() => 'dropped')]),
    'shown',
  );
});

test('certificates are verified both ways', async (t) => {
  const folder = folderOf(t);
  const [ours, theirs] = ['ours', 'theirs'].map((name) => path.join(folder, name)) as [string, string];
  makeCertificates(ours, 'IP:127.0.0.1');
  makeCertificates(theirs, 'IP:127.0.0.1');
  const mixed = path.join(folder, 'mixed');
  mixCertificates(mixed, theirs, ours);
  const named = path.join(folder, 'named');
  makeCertificates(named, 'DNS:dst.example');

  const { port, events } = await destination(t, peerSecurity('destination', { tlsDir: ours }));
  const refused = await source(t, port, peerSecurity('source', { tlsDir: mixed }));
  t.regex(refused.event === 'failed' ? refused.reason : '', /certificate/);
  t.regex((await events.next('stranger')).reason, /certificate does not hold here/);
  const refusing = await source(t, port, peerSecurity('source', { tlsDir: theirs }));
  t.like(refusing, { event: 'failed', code: 'not-authenticated' });
  t.regex(refusing.event === 'failed' ? refusing.reason : '', /certificate of the destination does not hold/);
  const withKey = await source(t, port, newKey());
  t.like(withKey, { event: 'failed', code: 'not-authenticated' });
  t.like(await source(t, port, peerSecurity('source', { tlsDir: ours })), { event: 'connected' });

  const other = await destination(t, peerSecurity('destination', { tlsDir: named }));
  const elsewhere = await source(t, other.port, peerSecurity('source', { tlsDir: named }));
  t.regex(elsewhere.event === 'failed' ? elsewhere.reason : '', /the destination is another host/);
  const fitting = peerSecurity('source', { tlsDir: named, tlsHostname: 'dst.example' });
  t.like(await source(t, other.port, fitting), { event: 'connected' });
});

test('who comes back is verified anew: no session of TLS is taken up again', async (t) => {
  const tlsDir = path.join(folderOf(t), 'certificates');
  makeCertificates(tlsDir, 'IP:127.0.0.1');
  const read = (name: string): Buffer => readFileSync(path.join(tlsDir, name));
  const admit = peerGate(peerSecurity('destination', { tlsDir }), 10_000);
  const server = createServer((accepted) => {
    admit(
      accepted,
      (socket) => {
        t.teardown(() => socket.destroy());
        // So that the other end has all that belongs to the handshake.
        socket.write('in');
      },
      (reason) => {
        t.fail(reason);
      },
    );
  }).listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  let session: Buffer | undefined;
  for (let attempt = 0; attempt < 2; attempt++) {
    const socket = connectTls({
      ...{ port, host: '127.0.0.1', ca: read('ca-cert.pem') },
      ...{ cert: read('client-cert.pem'), key: read('client-key.pem') },
      ...(session === undefined ? {} : { session }),
    });
    t.teardown(() => socket.destroy());
    const begun = once(socket, 'session') as Promise<[Buffer]>;
    await once(socket, 'data');
    if (attempt === 0) [session] = await begun;
    t.false(socket.isSessionReused());
  }
});

test('certificates of no use are said before anybody connects', async (t) => {
  const folder = folderOf(t);
  const [ours, theirs] = ['ours', 'theirs'].map((name) => path.join(folder, name)) as [string, string];
  makeCertificates(ours, 'IP:127.0.0.1');
  makeCertificates(theirs, 'IP:127.0.0.1');
  for (const role of ['source', 'destination'] as const) {
    const file = path.join(ours, role === 'source' ? 'client-key.pem' : 'server-key.pem');
    const right = readFileSync(file);
    const refused = { name: 'CommandError', message: /certificates in .* cannot be used: / };
    for (const wrong of [readFileSync(path.join(theirs, path.basename(file))), Buffer.from('no key')]) {
      writeFileSync(file, wrong);
      t.throws(() => peerSecurity(role, { tlsDir: ours }), refused, role);
    }
    writeFileSync(file, right);
    writeFileSync(path.join(ours, 'ca-crl.pem'), 'no list');
    t.throws(() => peerSecurity(role, { tlsDir: ours }), refused, role);
    rmSync(path.join(ours, 'ca-crl.pem'));
    t.notThrows(() => peerSecurity(role, { tlsDir: ours }));
  }
});

test('a source with certificates is a stranger to a destination with a key', async (t) => {
  const tlsDir = path.join(folderOf(t), 'certificates');
  makeCertificates(tlsDir, 'IP:127.0.0.1');
  const { port, events } = await destination(t, newKey());
  t.like(await source(t, port, peerSecurity('source', { tlsDir })), { event: 'failed' });
  t.is((await events.next('stranger')).reason, 'it has no key of ours');
});
