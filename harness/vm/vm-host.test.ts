/** The bridge of a VM host, with interfaces of a network namespace. */
import test, { type ExecutionContext } from 'ava';
import { CodedError } from '../../foundation/coded-error.ts';
import type { Host } from '../testbed/host.ts';
import { networkPlans } from '../testbed/local/lab-network.ts';
import { localShell } from '../probes/local-shell.fixture.ts';
import { namespaceHost } from './namespace-host.fixture.ts';
import { prepareVmHost, releaseVmHost, requireFreeVmHost } from './vm-host.ts';

const asRoot = process.getuid?.() === 0 ? test : test.skip;
const testbed = { networks: networkPlans({ migration: undefined, storage: undefined, service: undefined }) };

/** src, whose service interface has its address in the service network. */
async function hostWithService(t: ExecutionContext): Promise<Host> {
  const host = await namespaceHost(t, 'src');
  await host.run(`ip link add svc type veth peer name elsewhere
ip link set svc up
ip link set elsewhere up
ip addr add 10.30.0.1/24 brd + dev svc`);
  return host;
}

/** Interfaces with what they belong to, addresses and routes; hardware addresses and the rest are not ours to change. */
async function state(host: Host): Promise<string> {
  const { stdout } = await host.run(`ip -o link | sed 's/^[0-9]*: //; s/ state .*//; s/<.*>//'
ip -4 -o addr | sed 's/^[0-9]*: //'
ip -4 route show table all`);
  return stdout;
}

// One tap would need /dev/net/tun; the bridge does not.
const noVms = [] as const;

asRoot(
  'the service interface gives its addresses to the bridge, and has them again afterwards',
  async (t) => {
    const host = await hostWithService(t);
    // A second one of the same network, which goes with the first where the kernel does not promote it.
    await host.run('ip addr add 10.30.0.7/24 dev svc; ip addr add 10.10.0.1/24 dev svc');
    const before = await state(host);
    for (let time = 0; time < 2; time += 1) {
      await prepareVmHost(host, testbed, noVms);
      const { stdout } = await host.run('ip -4 -o addr');
      t.deepEqual(
        [...stdout.matchAll(/: (\S+) +inet (\S+)/g)].map(([, name, address]) => `${name} ${address}`),
        ['psbr0 10.30.0.1/24', 'psbr0 10.10.0.1/24', 'psbr0 10.30.0.7/24'],
      );
      t.regex((await host.run('ip link show svc')).stdout, / master psbr0 /);
    }
    for (let time = 0; time < 2; time += 1) {
      await releaseVmHost(host, testbed);
      t.is(await state(host), before);
    }
  },
);

const strangers: readonly (readonly [what: string, made: string, said: RegExp])[] = [
  ["a bridge with Poolshift's name", 'ip link add psbr0 type bridge', /^src: psbr0 is there and is not/],
  [
    "an interface with a guest's name",
    'ip link add pstap1 type bridge; ip link set pstap1 alias other',
    /^src: pstap1 is there and is not Poolshift's; name another/,
  ],
  [
    'a port of a bridge',
    'ip link add br0 type bridge; ip link set svc master br0',
    /^src: svc \(service\) belongs to br0,/,
  ],
  [
    'a bridge',
    'ip link del svc; ip link add svc type bridge; ip addr add 10.30.0.1/24 dev svc',
    /^src: svc \(service\) is a bridge,/,
  ],
  [
    'an interface with routes',
    'ip route add 10.99.0.0/16 via 10.30.0.254; ip route add default via 10.30.0.254 table 7',
    /^src: svc \(service\) has routes, which would be lost: default via 10\.30\.0\.254 table 7,10\.99\.0\.0\/16 via/,
  ],
];
for (const [what, made, said] of strangers)
  asRoot(`refused, and left as it is: ${what}`, async (t) => {
    const host = await hostWithService(t);
    await host.run(made);
    const before = await state(host);
    const error = await t.throwsAsync(prepareVmHost(host, testbed), { instanceOf: CodedError });
    t.regex(error.message, said);
    t.is(await state(host), before);
    // What a step that failed at once is undone with.
    await releaseVmHost(host, testbed);
    t.is(await state(host), before);
  });

test('a host with a VM that was kept is refused, and nothing but a question was put to it', async (t) => {
  const asked: string[] = [];
  const host: Host = {
    ...localShell,
    name: 'dst',
    run: (command) => {
      asked.push(command);
      const state = command.endsWith('poolshift-vm-1')
        ? 'ActiveState=active\nMainPID=7'
        : 'ActiveState=inactive\nMainPID=0';
      return Promise.resolve({ stdout: `${state}\n`, stderr: '', exitCode: 0 });
    },
  };
  const error = await t.throwsAsync(requireFreeVmHost(host, testbed), { instanceOf: CodedError });
  t.is(error.code, 'already-running');
  t.is(error.message, 'dst: the unit poolshift-vm-1 is active; stop it first');
  t.true(asked.every((command) => command.startsWith('systemctl show ')));
});

asRoot("interfaces named br0 and tap0 are somebody's, and stay", async (t) => {
  const host = await hostWithService(t);
  await host.run('for name in br0 tap0 tap1; do ip link add $name type bridge; done');
  const before = await state(host);
  await prepareVmHost(host, testbed, noVms);
  await releaseVmHost(host, testbed);
  t.is(await state(host), before);
});
