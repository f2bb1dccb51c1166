/** The NBD client with QEMU's server. Two seconds; needs QEMU. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { CodedError } from '../../foundation/coded-error.ts';
import { startNbdServer } from '../cli/testing/nbd-server.ts';
import { findQemu } from '../../qemu/find-qemu.ts';
import { connectNbd } from './nbd-client.ts';
import { openSource } from './storage-place.ts';

const installation = findQemu()?.installation;
const withQemu = installation === undefined ? test.serial.skip : test.serial;

withQemu('reads an export, many places at once; ends with the server', async (t) => {
  if (installation === undefined) throw new Error('no QEMU');
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-nbd-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const content = randomBytes(8 * 1024 * 1024);
  writeFileSync(path.join(folder, 'disk'), content);
  const socketPath = path.join(folder, 'nbd');
  const server = await startNbdServer(installation, path.join(folder, 'disk'), socketPath);
  try {
    const storage = await openSource({ kind: 'disk', disk: 'vda' }, [
      { name: undefined, location: server.location },
    ]);
    t.is(storage.sizeBytes, content.length);
    await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        const into = Buffer.alloc(i % 2 === 0 ? 4096 : 1024 * 1024 - 4096 * i);
        const offset = (i * 7919 * 4096) % (content.length - into.length);
        const aligned = offset - (offset % 4096);
        await storage.read(into, aligned);
        t.true(into.equals(content.subarray(aligned, aligned + into.length)), `read ${i}`);
      }),
    );
    const beyond = await t.throwsAsync<CodedError<'storage'>>(
      storage.read(Buffer.alloc(4096), content.length),
    );
    t.is(beyond.code, 'read-failed');
    await storage.read(Buffer.alloc(4096), 0);
    const refused = await t.throwsAsync<CodedError<'storage'>>(connectNbd(socketPath, 'another'));
    t.is(refused.code, 'cannot-open');
    await server.stop();
    await t.throwsAsync(storage.read(Buffer.alloc(4096), 0), {
      instanceOf: CodedError,
      name: 'StorageError',
    });
  } finally {
    await server.stop();
  }
});

test('a server of something else is refused', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-nbd-'));
  const socketPath = path.join(folder, 'other');
  const server = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')).listen(socketPath);
  t.teardown(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });
  await t.throwsAsync(connectNbd(socketPath, ''), { instanceOf: CodedError, name: 'StorageError' });
  await t.throwsAsync(connectNbd(path.join(folder, 'nothing'), ''), {
    instanceOf: CodedError,
    name: 'StorageError',
  });
});
