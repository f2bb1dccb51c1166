/** A real MariaDB of a test's own, in a temporary folder; undefined where none is installed. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { DatabaseServer } from './database-server.ts';

const run = promisify(execFile);

export interface TestServer {
  readonly server: DatabaseServer;
  readonly folder: string;
  readonly process: ChildProcess;
  stop(): Promise<void>;
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  return port;
}

export async function startMariadb(): Promise<TestServer | undefined> {
  try {
    await run('mariadbd', ['--version']);
    await run('mariadb', ['--version']);
  } catch {
    return undefined;
  }
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-mariadb-'));
  const port = await freePort();
  const user = os.userInfo().username;
  const data = path.join(folder, 'data');
  await run('mariadb-install-db', [
    '--no-defaults',
    `--user=${user}`,
    `--datadir=${data}`,
    '--skip-test-db',
    '--auth-root-authentication-method=normal',
  ]);
  const socket = path.join(folder, 's');
  const child = spawn(
    'mariadbd',
    [
      '--no-defaults',
      `--user=${user}`,
      `--datadir=${data}`,
      `--socket=${socket}`,
      `--port=${port}`,
      '--bind-address=127.0.0.1',
      '--innodb-buffer-pool-size=32M',
      '--innodb-log-file-size=16M',
    ],
    { stdio: 'ignore' },
  );
  const password = "it's sbtest";
  const sql = `CREATE DATABASE sbtest; CREATE USER sbtest@'%' IDENTIFIED BY '${password.replace("'", "''")}';
    GRANT ALL ON *.* TO sbtest@'%'`;
  for (let tries = 0; ; tries += 1) {
    try {
      await run('mariadb', ['--no-defaults', '--user=root', `--socket=${socket}`, '--execute', sql]);
      break;
    } catch (error) {
      if (tries === 100) throw error;
      await sleep(100);
    }
  }
  return {
    server: { protocol: 'mysql', host: '127.0.0.1', port, user: 'sbtest', password },
    folder,
    process: child,
    stop: async () => {
      const ended = once(child, 'exit');
      child.kill('SIGCONT');
      child.kill('SIGKILL');
      await ended;
      await rm(folder, { recursive: true });
    },
  };
}
