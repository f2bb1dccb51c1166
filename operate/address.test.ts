import test from 'ava';
import { libvirtAddress, qmpAddress } from './address.ts';

test('libvirt URIs that name a host which ssh reaches', (t) => {
  t.is(libvirtAddress('qemu:///system').ssh, undefined);
  t.deepEqual(libvirtAddress('qemu+ssh://dst/system').ssh, { host: 'dst' });
  t.deepEqual(libvirtAddress('qemu+ssh://admin@[2001:db8::2]:2222/system').ssh, {
    host: '2001:db8::2',
    user: 'admin',
    port: 2222,
  });
  for (const uri of [
    'dst',
    '',
    'qemu+tls://dst/system',
    'qemu+ssh:///system',
    'qemu+ssh://dst/session',
    'qemu+ssh://-oProxyCommand=x/system',
    'xen:///system',
  ])
    t.throws(() => libvirtAddress(uri), { name: 'CommandError', message: /qemu\+ssh|no such host/ }, uri);
});

test('QMP sockets, here and elsewhere', (t) => {
  t.deepEqual(qmpAddress('/run/a b.qmp'), { path: '/run/a b.qmp', ssh: undefined });
  t.deepEqual(qmpAddress('ssh://root@src/run/a%20b.qmp'), {
    path: '/run/a b.qmp',
    ssh: { host: 'src', user: 'root' },
  });
  t.is(qmpAddress('ssh://src/run/a?b#c.qmp').path, '/run/a?b#c.qmp');
  for (const text of [
    ...['a.qmp', 'ssh://src', 'ssh://src/', 'tcp://src/run/a.qmp'],
    ...['ssh://src/run/100%.qmp', 'ssh://100%@src/run/a.qmp'],
  ])
    t.throws(() => qmpAddress(text), { name: 'CommandError' }, text);
});
