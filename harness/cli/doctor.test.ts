/** The command, with machines that do not answer: a port of this machine at which nobody listens. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { execa } from 'execa';
import { stringify } from 'yaml';
import { hostNames } from '../testbed/host.ts';

const run = (...arguments_: string[]) =>
  execa(process.execPath, [path.join(import.meta.dirname, 'doctor.ts'), ...arguments_], { reject: false });

async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  return typeof address === 'object' ? (address?.port ?? 1) : 1;
}

async function inventory(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'poolshift-doctor-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const port = await closedPort();
  const host = (index: number): object => {
    const station = { address: `127.0.0.${index + 1}`, interface: 'lo' };
    return {
      ssh: { address: '127.0.0.1', port, identityFile: 'none', hostKey: 'ssh-ed25519 AAAA' },
      networks: { migration: station, storage: station, service: station },
    };
  };
  const file = path.join(folder, 'hosts.yaml');
  const hosts = Object.fromEntries(hostNames.map((name, index) => [name, host(index)]));
  await writeFile(
    file,
    stringify(
      { hosts, nfs: { export: '/srv/export' }, guestAddress: '127.0.0.10/24' },
      { aliasDuplicateObjects: false },
    ),
  );
  return file;
}

test('machines that do not answer are problems, and the rest is not checked', async (t) => {
  const { exitCode, stdout } = await run('--inventory', await inventory(t), '--json');
  t.is(exitCode, 1);
  const lines = stdout.split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
  for (const host of hostNames) {
    const finding = lines.find(({ check, hosts }) => check === 'ssh' && String(hosts) === host);
    t.is(finding?.['status'], 'problem', host);
    t.regex(String(finding?.['found']), /Connection refused/);
    t.regex(String(finding?.['fix']), /sshd answers/);
  }
  const result = lines.at(-1);
  t.like(result, { event: 'result', ok: 0, problem: 4 });
  t.true(Number(result?.['not-checked']) > 10);
});

test('the same as text: a line for what is found and one for what to do', async (t) => {
  const { exitCode, stdout } = await run('--inventory', await inventory(t), '--mem', '4', '24');
  t.is(exitCode, 1);
  t.regex(stdout, /^FIX {2}src {9}ssh {15}.*Connection refused\n {17}→ check that the machine is up/m);
  t.regex(stdout, /^- {4}nfs dst {5}storage link {6}needs ssh to nfs and dst$/m);
  t.regex(stdout, /\n0 ok, 0 warnings, 4 problems, \d+ not checked$/);
});

test('without an inventory, or with a wrong row, it says what is needed', async (t) => {
  const none = await run();
  t.is(none.exitCode, 2);
  t.regex(none.stderr, /^doctor: --inventory: hosts\.yaml is needed/);
  const wrong = await run('--inventory', 'x', '--mem', '5');
  t.is(wrong.exitCode, 2);
  t.regex(wrong.stderr, /--mem .*valid: 4, 8, 16, 24/);
  const help = await run('--help');
  t.is(help.exitCode, 0);
  t.regex(help.stdout, /--mem <4\|8\|16\|24\.\.\.>[^]*Exit codes: 0 done; 1/);
});
