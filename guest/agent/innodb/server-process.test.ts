import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { findServers, parseVersion } from './server-process.ts';

test('a server is found by its program, but not one that the agent has started itself', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'servers-'));
  const program = join(folder, 'mariadbd');
  await copyFile('/bin/sleep', program);
  const own = spawn(program, ['60']);
  // "&" and an end of its own make it a child of somebody else.
  const starter = spawn('sh', ['-c', '"$0" 60 >&- & echo $!', program]);
  const [printed] = (await once(starter.stdout, 'data')) as [Buffer];
  const other = Number(printed.toString());
  t.teardown(async () => {
    own.kill();
    process.kill(other);
    await rm(folder, { recursive: true });
  });
  const found = await findServers();
  t.false(found.some(({ pid }) => pid === own.pid));
  const server = found.find(({ pid }) => pid === other);
  t.is(server?.product, 'mariadb');
  t.regex(server?.startTicks ?? '', /^\d+$/);
});

test('product and version are read from what the program says', (t) => {
  t.deepEqual(
    parseVersion('mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu', '/usr/sbin/mariadbd'),
    {
      product: 'mariadb',
      version: '10.11.19-MariaDB-0+deb12u1',
    },
  );
  t.deepEqual(parseVersion('/usr/sbin/mysqld  Ver 9.7.0 for Linux on x86_64', '/usr/sbin/mysqld'), {
    product: 'mysql',
    version: '9.7.0',
  });
  t.deepEqual(parseVersion('', '/usr/sbin/mariadbd'), { product: 'mariadb', version: 'unknown' });
});
