import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Deadline } from '../deadline.ts';
import { PostgresqlFinder } from './finder.ts';

/** x86-64's mmap and read: 16 MiB of shared memory, all of it used. */
const shareMemory = `
  open(my $random, '<', '/dev/urandom');
  my $address = syscall(9, 0, 16 << 20, 3, 0x21, -1, 0);
  syscall(0, fileno($random), $address, 16 << 20);
  $| = 1; print "ready"; sleep 60;
`;

test('a search for shared buffers ends with its time', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'postgresql-'));
  writeFileSync(join(folder, 'PG_VERSION'), '17\n');
  const path = join(folder, 'postgres');
  copyFileSync('/usr/bin/perl', path);
  const server = spawn(path, ['-e', shareMemory], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => {
    server.kill();
    rmSync(folder, { recursive: true });
  });
  await once(server.stdout, 'data');
  const program = (await new PostgresqlFinder().programs()).find(({ pid }) => pid === server.pid);
  await t.throwsAsync(async () => program?.findPages(new Deadline(60_000)), { code: 'unknown-layout' });
  let nowMs = 0;
  await t.throwsAsync(async () => program?.findPages(new Deadline(10, () => nowMs++)), { code: 'too-slow' });
});
