import test from 'ava';
import { networkPlans, shapingArguments, sshConfig } from './lab-network.ts';

test('hosts have the same last byte on every network', (t) => {
  const { migration, service } = networkPlans({ migration: 125e6, storage: undefined, service: 1e9 });
  t.deepEqual(migration.addresses, {
    src: '10.10.0.1',
    dst: '10.10.0.2',
    nfs: '10.10.0.3',
    client: '10.10.0.4',
  });
  t.is(service.addresses.client, '10.30.0.4');
  t.is(service.interfaces.client, 'svc');
  t.is(migration.rateBitsPerSecond, 125e6);
});

test('the bucket grows with the rate, from 64 KiB', (t) => {
  const burstBytes = (rate: number) => Number(shapingArguments(rate)[4]);
  t.is(burstBytes(125e6), 65_536);
  t.is(burstBytes(250e6), 125_000);
  t.is(burstBytes(1e9), 262_144);
  t.is(burstBytes(10e9), 2_500_000);
  t.deepEqual(shapingArguments(undefined), ['pfifo_fast']);
  t.deepEqual(shapingArguments(125e6).slice(0, 3), ['tbf', 'rate', '125000000bit']);
});

test('the ssh configuration takes nothing from the user and checks host keys', (t) => {
  const text = sshConfig({ folder: '/run/x', proxyCommand: 'join %h' });
  for (const line of ['IdentityAgent none', 'GlobalKnownHostsFile /dev/null', 'StrictHostKeyChecking yes'])
    t.true(text.includes(`  ${line}\n`), line);
  // The guest is reached through the client, not by the hosts' proxy command.
  t.regex(text, /Host src dst nfs client\n {2}ProxyCommand join %h\n$/);
  t.regex(text, /Host guest\n {2}HostName 10\.30\.0\.10\n {2}ProxyJump client\n/);
});
