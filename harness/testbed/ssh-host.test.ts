/** Hosts that cannot be reached; what hosts can do is in conformance.fixture.ts. */
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { CodedError } from '../../foundation/coded-error.ts';
import { sshConfig } from './ssh-config.ts';
import { SshHost } from './ssh-host.ts';

test('a host that accepts a connection and says nothing is unreachable after some seconds', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'poolshift-ssh-'));
  const silent = createServer(() => undefined).listen(0, '127.0.0.1');
  t.teardown(async () => {
    silent.close();
    await rm(folder, { recursive: true, force: true });
  });
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  const configPath = path.join(folder, 'ssh_config');
  const entry = {
    alias: 'src',
    address: '127.0.0.1',
    port,
    user: 'root',
    hostKey: { kind: 'alias' },
  } as const;
  await writeFile(configPath, sshConfig(folder, [entry]));
  const options = { configPath, socketFolder: folder, qemuBinary: 'qemu-system-x86_64', sudo: false };
  const host = new SshHost({ name: 'src', ...options });
  const error = await t.throwsAsync(host.run('true'), { instanceOf: CodedError, name: 'HostError' });
  t.is(error.code, 'unreachable');
  t.regex(error.message, /^on src: exit code 255: true\n.*timed out/s);
});
