import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { findListener, listeningInodes } from './target-process.ts';

const line = (inode: number, name: string, flags = '00010000'): string =>
  `ffff8880: 00000002 00000000 ${flags} 0001 01 ${inode} ${name}`;

test('all who claim to listen there are seen', (t) => {
  const table = [
    'Num RefCount ...',
    line(5, '/run/in'),
    line(6, '/run/in', '00000000'),
    line(7, '/run/other'),
  ];
  t.deepEqual(listeningInodes(table.join('\n'), '/run/in'), ['5']);
  const forged = [...table, '@', line(9, '/run/in'), line(5, '/run/in')];
  t.deepEqual(listeningInodes(forged.join('\n'), '/run/in'), ['5', '9']);
});

const asRoot = process.getuid?.() === 0 ? test : test.skip;

asRoot('a name that another user has given his socket makes nobody the target', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-listener-'));
  const incoming = path.join(folder, 'incoming');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(incoming, resolve));
  // An abstract name with line feeds: the kernel prints it as it is.
  const script = `use Socket; $) = 65534; $( = 65534; $> = 65534; $< = 65534; $| = 1;
socket(S, PF_UNIX, SOCK_STREAM, 0) or die; my $inode = (stat S)[1];
bind(S, pack_sockaddr_un("\\0\\n0: 2 0 00010000 1 1 $inode $ARGV[0]\\n")) or die $!;
listen(S, 1) or die; print "bound\\n"; sleep 60;`;
  const forger = spawn('perl', ['-e', script, incoming], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await new Promise((resolve) => forger.stdout.once('data', resolve));
    t.is(listeningInodes(readFileSync('/proc/net/unix', 'utf8'), incoming).length, 2);
    t.is(findListener(incoming)?.pid, process.pid);
  } finally {
    forger.kill('SIGKILL');
    server.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
