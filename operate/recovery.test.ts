import test from 'ava';
import { execa } from 'execa';
import { CodedError } from '../foundation/coded-error.ts';
import type { Following, OperatedHost } from './host.ts';
import { destinationCommand, type EnginePlan, sourceCommand } from './engine-commands.ts';
import { obstacleTo, recoverMove, socketIn } from './recovery.ts';

const move = {
  ...{ vm: 'vm1', endsSource: 'virsh destroy vm1' },
  hosts: { source: { name: 'src' }, destination: { name: 'dst' } },
};

test('a VM is recovered where its target waits for that, and the source does not run it', (t) => {
  const obstacle = (targetMigration: string, runsAtSource = false): string | undefined =>
    obstacleTo(move, { runsAtSource, targetMigration });
  t.is(obstacle('postcopy-paused'), undefined);
  // One that was told to wait, and to which nobody came.
  t.is(obstacle('postcopy-recover-setup'), undefined);
  t.regex(obstacle('completed') ?? '', /everything on dst; end what is left of it on src: virsh destroy/);
  for (const state of ['postcopy-active', 'postcopy-recover'])
    t.regex(obstacle(state) ?? '', /on their way to dst/);
  for (const state of ['none', 'active', 'failed']) t.regex(obstacle(state) ?? '', new RegExp(`"${state}"`));
  for (const state of ['none', 'completed'])
    t.regex(obstacle(state, true) ?? '', /vm1 runs on src: it was not moved/);
  for (const state of ['postcopy-paused', 'postcopy-active'])
    t.regex(obstacle(state, true) ?? '', /vm1 runs on src, and QEMU on dst has it as well: end that one/);
});

test('where the source is lost nobody is told to end something there', (t) => {
  const lost = {
    vm: 'vm1',
    endsSource: undefined,
    hosts: { source: undefined, destination: { name: 'dst' } },
  };
  const obstacle = (targetMigration: string): string | undefined =>
    obstacleTo(lost, { runsAtSource: false, targetMigration });
  t.is(obstacle('postcopy-paused'), undefined);
  t.is(
    obstacle('completed'),
    'vm1 has everything on dst; never continue what may be left of it at the source',
  );
});

const host = (name: string, answer = ''): OperatedHost =>
  ({ name, run: () => Promise.resolve(answer) }) as unknown as OperatedHost;

/** What comes of a recovery whose target is told so. */
async function recoverWith(
  tellTarget: () => Promise<void>,
  onInterrupt: (listener: () => void) => void = () => undefined,
  hosts = { source: host('src', 'vm1-0a\n/nowhere/a.recovery'), destination: host('dst') },
) {
  const notes: string[] = [];
  const end = await recoverMove(
    {
      ...{
        vm: 'vm1',
        engine: 'poolshift-engine',
        targetSocket: '/nowhere/x',
        endsSource: 'virsh destroy vm1',
      },
      hosts,
      look: () => Promise.resolve({ runsAtSource: false, targetMigration: 'postcopy-paused' }),
      tellTarget,
    },
    {
      findings: () => undefined,
      note: (text) => notes.push(text),
      progress: () => undefined,
      end: () => undefined,
    },
    onInterrupt,
  );
  return { end, notes };
}

test('a host that is lost in a recovery leaves it incomplete, and it can be run again', async (t) => {
  const lost = new CodedError('host', 'unreachable', 'dst cannot be reached by ssh');
  const { end, notes } = await recoverWith(() => Promise.reject(lost));
  t.is(end, 'incomplete');
  t.regex(notes.join('\n'), /dst cannot be reached by ssh\. Run poolshift recover again; never continue/);
  const inTheWay = new CodedError('recovery', 'libvirt-in-the-way', 'libvirt lets nobody speak to it');
  await t.throwsAsync(
    recoverWith(() => Promise.reject(inTheWay)),
    { name: 'RecoveryError' },
  );
});

test('an engine that has said how it ended is not waited for', async (t) => {
  const source = {
    name: 'src',
    run: () => Promise.resolve('vm1-0a\n/nowhere/a.recovery'),
    bringSocket: () => Promise.resolve({ path: '/nowhere/y', stop: () => Promise.resolve() }),
    follow: (): Following => ({
      lines: (async function* () {
        yield '{"event":"incomplete","reason":"interrupted"}';
        await new Promise(() => undefined);
      })(),
      end: Promise.resolve('ended'),
      stop: () => undefined,
    }),
  };
  const destination = {
    name: 'dst',
    run: () => Promise.resolve(''),
    forwardSocket: () => Promise.resolve({ path: '/nowhere/z', stop: () => Promise.resolve() }),
  };
  const { end, notes } = await recoverWith(() => Promise.resolve(), undefined, {
    source: source as unknown as OperatedHost,
    destination: destination as unknown as OperatedHost,
  });
  t.is(end, 'incomplete');
  t.regex(notes.join(), /incomplete: interrupted/);
});

test('Ctrl-C before the target is told to wait begins nothing', async (t) => {
  const { end, notes } = await recoverWith(
    () => Promise.reject(new Error('told')),
    (listener) => {
      listener();
    },
  );
  t.is(end, 'cancelled');
  t.regex(notes.join(), /before anything was begun/);
});

test('what an engine has left is found by its socket, whatever the path of that holds', async (t) => {
  for (const folder of ['/run/vm1', "/run/it's a vm", "/run/'' '--listen' 'unix:/x' ", '/run/a&b\\c']) {
    const plan: EnginePlan = {
      ...{ id: 'vm1-0a', engine: 'poolshift-engine', strategy: 'resume', address: '192.0.2.1', port: 49_152 },
      ...{ outgoingSocket: `${folder}/out.sock`, incomingSocket: `${folder}/in.sock` },
      ...{ agentSocket: '/run/agent', pid: 17, storage: ["/images/it's one.img"], user: 'qemu' },
    };
    for (const [role, command, name] of [
      ['source', sourceCommand(plan), 'out.sock'],
      ['destination', destinationCommand(plan), 'in.sock'],
    ] as const) {
      const { stdout } = await execa('sed', ['-n', socketIn(role)], { input: `exec ${command}\n` });
      t.is(stdout, `${folder}/${name}`);
    }
  }
});
