/** What stands in examples/ is what the programs take: inventory, units and the commands in them. libvirt.lab.test.ts runs the domain. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { parse as parseYaml } from 'yaml';
import { agentPortName } from '../engine/list/agent-protocol.ts';
import { agentStart } from '../guest/image/agent-bundle.ts';
import { matrixOptionsSchema } from '../experiments/matrix.ts';
import { parseOptions } from '../harness/cli/options.ts';
import { readInventory } from '../harness/testbed/inventory/read-inventory.ts';

const examples = import.meta.dirname;
const read = (name: string): Promise<string> => readFile(path.join(examples, name), 'utf8');

test('hosts.yaml is an inventory', async (t) => {
  const { hosts, nfs } = await readInventory(path.join(examples, 'hosts.yaml'));
  t.is(hosts.dst.ssh.user, 'admin');
  t.is(nfs.mount, '/mnt/poolshift');
});

const agentUnit = 'poolshift-agent.service';
const engineUnits = ['poolshift-source@.service', 'poolshift-destination@.service'] as const;

test('the unit of the agent starts it as the harness does, and wants its port', async (t) => {
  const unit = await read(agentUnit);
  for (const option of agentStart.nodeOptions) t.regex(unit, new RegExp(`^ExecStart=.* ${option} `, 'm'));
  for (const [name, value] of Object.entries(agentStart.environment))
    t.true(unit.includes(`\nEnvironment=${name}=${value}\n`));
  t.true(unit.includes(`/dev/virtio-ports/${agentPortName}\n`));
});

const systemdAnalyze = '/usr/bin/systemd-analyze';
const withSystemd = existsSync(systemdAnalyze) ? test : test.skip;

/** What systemd says of a unit. Programs of the unit that are not on this machine are taken for `true`. */
async function verified(name: string, content: string): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'units-'));
  try {
    const file = path.join(folder, name);
    await writeFile(file, content.replaceAll(/(?<==)\/usr\/(?:local\/)?bin\/\S+/g, '/bin/true'));
    const { all, exitCode } = await execa(systemdAnalyze, ['verify', '--man=no', file], {
      all: true,
      reject: false,
    });
    return exitCode === 0 ? all : `${exitCode} ${all}`;
  } finally {
    await rm(folder, { recursive: true });
  }
}

for (const name of [agentUnit, ...engineUnits]) {
  withSystemd(`systemd takes ${name}`, async (t) => {
    const unit = await read(name);
    t.is(await verified(name, unit), '');
    t.not(await verified(name, unit.replace('Restart=', 'Restart=sometimes')), '', 'what is wrong is said');
  });
}

/** The command of an engine's unit, as systemd and the shell make it from the settings that the unit names. */
async function commandOf(name: string, settings: Readonly<Record<string, string>>): Promise<string> {
  const [, command = ''] = /^ExecStart=((?:.*\\\n)*.*)$/m.exec(await read(name)) ?? [];
  return command
    .replaceAll('\\\n', ' ')
    .replace(/^\/bin\/sh -c '(.*)'$/s, '$1')
    .replaceAll('%i', 'db1')
    .replaceAll('$(cat /run/libvirt/qemu/db1.pid)', String(process.pid))
    .replaceAll(/\$\{?([A-Z]+)\}?/g, (_, variable: string) => settings[variable] ?? '')
    .replaceAll('"', '')
    .replace(/^(?:exec )?\/usr\/local\/bin\/poolshift-engine /, '');
}

for (const [name, settings] of [
  ['poolshift-source@.service', { CONNECT: '127.0.0.1:1', STRATEGY: 'balance' }],
  [
    'poolshift-destination@.service',
    { LISTEN: '127.0.0.1:1', STORAGE: 'nfs://127.0.0.1/srv/export/db1.img' },
  ],
] as const) {
  test(`the engine takes the options of ${name}`, async (t) => {
    const command = await commandOf(name, settings);
    const engine = path.join(examples, '../engine/cli/main.ts');
    // The key is read when the options have been taken, so its absence is the only thing that may be wrong.
    const options = command
      .replace('/etc/poolshift/key', '/nowhere/key')
      .replace(/ --user \S+/, '')
      .split(/ +/);
    const { exitCode, stderr } = await execa(process.execPath, [engine, ...options], { reject: false });
    t.is(exitCode, 2);
    t.regex(stderr, /\/nowhere\/key/);
    t.notRegex(stderr, /unknown option|argument/);
  });
}

test('gate.yml calls matrix and compare with options that they have', async (t) => {
  const workflow = parseYaml(await read('gate.yml')) as {
    jobs: { gate: { env: Record<string, unknown>; steps: { run?: string }[] } };
  };
  const { env, steps } = workflow.jobs.gate;
  const commands = steps
    .flatMap(({ run }) => run ?? [])
    .join('\n')
    .replaceAll('$CELLS', String(env['CELLS']))
    .replaceAll('"$repeat"', String(env['REPEATS']));
  const [, matrix = ''] = /npm run --silent matrix -- (.*) --resume/.exec(commands) ?? [];
  const options = parseOptions('matrix', '', matrixOptionsSchema, matrix.split(' '));
  t.is(options?.repeat, 3);
  t.deepEqual(options?.engines, ['restore', 'balance']);
  // The sets are missing, which is the only thing that may be wrong.
  const [, compare = ''] = /npm run --silent compare -- (.*) > verdict\.md/.exec(commands) ?? [];
  const program = path.join(examples, '../report/cli/compare.ts');
  const { exitCode, stderr } = await execa(process.execPath, [program, ...compare.split(' ')], {
    reject: false,
  });
  t.is(exitCode, 2);
  t.regex(stderr, /\.\.\/sets\/base/);
  t.notRegex(stderr, /unknown option|argument/);
});
