import test from 'ava';
import { sshConfig } from '../ssh-config.ts';
import { labSshEntries, networkPlans } from './lab-network.ts';

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

test('hosts are reached through the proxy command, the guest through the client', (t) => {
  const text = sshConfig('/run/x', labSshEntries('/run/x', 'join %h'));
  t.regex(text, /Host dst\n {2}HostName 10\.40\.0\.2\n(?: {2}.*\n)* {2}ProxyCommand join %h\n/);
  t.regex(text, /Host guest\n {2}HostName 10\.30\.0\.10\n(?: {2}.*\n)* {2}ProxyJump client\n/);
});
