/**
 * Somebody without the key who sends a whole VM of his own to a destination engine, in the engines' own frames: it does not
 * reach the target. The same client against an engine with --insecure-plaintext shows that the attack is one. About 20 s;
 * needs QEMU.
 */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectByTls, type PSKCallbackNegotation } from 'node:tls';
import test from 'ava';
import { findQemu } from '../../qemu/find-qemu.ts';
import { frameHeader, type FrameProtection, type FrameType } from '../wire/frame.ts';
import { defaultLiveness, ownHello } from '../wire/hello.ts';
import { encodeMessage } from '../wire/messages.ts';
import { pskIdentity } from '../wire/peer-security.ts';
import { makeKey, writeKey } from '../wire/pre-shared-key.ts';
import { EngineProcess, VmPair } from './testing/vm-pair.ts';

const MiB = 1024 * 1024;
const streamFrameBytes = 500_000;
const installation = findQemu()?.installation;
const serially = installation === undefined ? test.serial.skip : test.serial;

/** All that a source engine says in a migration, with this VM. */
function wholeMigration(stream: Buffer, protection: FrameProtection): Buffer {
  const frames: Buffer[] = [];
  const add = (type: FrameType, payload: Buffer): void => {
    frames.push(frameHeader(type, payload, undefined, protection), payload);
  };
  add('hello', encodeMessage(ownHello('source', undefined, defaultLiveness)));
  for (let at = 0; at < stream.length; at += streamFrameBytes)
    add('stream', stream.subarray(at, at + streamFrameBytes));
  add('commit', Buffer.alloc(0));
  return Buffer.concat(frames);
}

/** Says it to whoever listens there; settles when the connection is gone, or after 10 s. */
async function say(port: number, bytes: Buffer, how: 'in the open' | 'with a key of his own'): Promise<void> {
  const socket =
    how === 'in the open'
      ? connect({ port, host: '127.0.0.1' })
      : connectByTls({
          ...{ port, host: '127.0.0.1', checkServerIdentity: () => undefined, minVersion: 'TLSv1.3' },
          ...{ ciphers: 'TLS_AES_128_GCM_SHA256' },
          pskCallback: (): PSKCallbackNegotation => ({
            identity: pskIdentity,
            psk: Buffer.from(makeKey(), 'hex'),
          }),
        });
  const gone = new Promise((resolve) => socket.once('close', resolve));
  socket.on('error', () => undefined);
  socket.resume();
  socket.write(bytes);
  await Promise.race([gone, sleep(10_000, undefined, { ref: false })]);
  socket.destroy();
}

serially('a stranger who knows the protocol and not the key starts no VM in the target', async (t) => {
  t.timeout(300_000);
  if (installation === undefined) throw new Error('no QEMU');
  const pair = await VmPair.start(installation, {
    ramBytes: 32 * MiB,
    diskBytes: 4 * MiB,
    program: { startBytes: 16 * MiB, endBytes: 17 * MiB, strideBytes: 4096, delayRounds: 200_000 },
    capabilities: [],
    targetStarts: true,
  });
  t.teardown(() => pair.stop());
  await pair.source.execute('migrate', { uri: `file:${pair.folder}/stream` });
  await pair.source.waitForMigration(({ status }) => status === 'completed', 60_000);
  const stream = readFileSync(path.join(pair.folder, 'stream'));
  const targetStatus = async (): Promise<unknown> =>
    ((await pair.target.execute('query-status')) as { status: unknown }).status;

  const key = path.join(pair.folder, 'key');
  writeKey(key, makeKey());
  const waiting = ['destination', '--listen', '127.0.0.1:0', '--incoming', `unix:${pair.incomingPath}`];
  const guarded = new EngineProcess([...waiting, '--psk-file', key]);
  t.teardown(() => {
    guarded.kill('SIGKILL');
  });
  const port = Number((await guarded.event('listening')).address.split(':').at(-1));
  for (const protection of ['tls', 'checksums'] as const)
    for (const how of ['in the open', 'with a key of his own'] as const)
      await say(port, wholeMigration(stream, protection), how);
  t.is(await targetStatus(), 'inmigrate');
  t.false(guarded.events.some(({ event }) => event === 'connected'));
  t.true(guarded.events.filter(({ event }) => event === 'stranger').length > 0);
  guarded.kill('SIGTERM');
  t.is(await guarded.ended, 130);

  const open = new EngineProcess([...waiting, '--insecure-plaintext']);
  t.teardown(() => {
    open.kill('SIGKILL');
  });
  const openPort = Number((await open.event('listening')).address.split(':').at(-1));
  await say(openPort, wholeMigration(stream, 'checksums'), 'in the open');
  await open.ended;
  t.is(await targetStatus(), 'running');
});
