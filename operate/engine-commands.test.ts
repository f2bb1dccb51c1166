/** The engine takes the command lines that are made for it. */
import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { destinationCommand, type EnginePlan, sourceCommand } from './engine-commands.ts';

const engine = path.join(import.meta.dirname, '../engine/cli/main.ts');

const plan: EnginePlan = {
  id: 'vm1-no-such-migration',
  engine,
  strategy: 'balance',
  outgoingSocket: "/nowhere/it's.sock",
  incomingSocket: "/nowhere/it's.sock",
  address: '2001:db8::2',
  port: 49_152,
  agentSocket: '/nowhere/agent.sock',
  pid: process.pid,
  memoryMap: '/nowhere/map',
  storage: ['s1=/srv/a b.img', 's2=nfs://192.0.2.3/srv/b.img'],
  user: 'root',
};

for (const [role, command] of [
  ['source', sourceCommand],
  ['destination', destinationCommand],
] as const) {
  test(`the ${role} engine reads its key before anything else`, async (t) => {
    const { exitCode, stderr } = await execa('bash', ['-c', `${process.execPath} ${command(plan)}`], {
      reject: false,
      input: 'no key',
    });
    t.is(exitCode, 2);
    t.regex(stderr, /fd:0 holds something else/);
  });

  test(`the ${role} engine takes certificates`, async (t) => {
    const { user: _, ...rest } = plan;
    const line = command({ ...rest, tlsDir: '/nowhere/pki', tlsHostname: 'dst' });
    const { exitCode, stderr } = await execa('bash', ['-c', `${process.execPath} ${line}`], {
      reject: false,
    });
    t.is(exitCode, 2);
    t.regex(stderr, /cannot read \/nowhere\/pki/);
  });
}

test('a word that the engine does not know is an error, so that these tests can fail', async (t) => {
  const { exitCode, stderr } = await execa(
    'bash',
    ['-c', `${process.execPath} ${destinationCommand(plan)} --unheard-of`],
    { reject: false },
  );
  t.is(exitCode, 2);
  t.regex(stderr, /unknown option/);
});

test('in early resume the list is made when QEMU keeps track of what the guest writes', (t) => {
  t.regex(sourceCommand(plan), /'?--list-at'? '?start/);
  t.regex(sourceCommand({ ...plan, strategy: 'resume' }), /'?--list-at'? '?migrate/);
});
