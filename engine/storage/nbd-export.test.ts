import test from 'ava';
import { reasonIn } from './nbd-export.ts';

test('of what the storage daemon says when it ends, the reason is passed on, and not the image that it repeats', (t) => {
  const description =
    '{"driver":"qcow2","read-only":true,"force-share":true,"file":{"driver":"file","filename":"/vm: 1.img"},"backing":null,"node-name":"image"}';
  const reason = 'Unsupported qcow2 feature(s): Unknown incompatible feature: 10000000000';
  const said = `qemu-storage-daemon: --blockdev ${description}: ${reason}\n`;
  t.is(reasonIn(said), reason);
  // Of a long chain only the end is kept.
  t.is(reasonIn(said.slice(100)), reason);
  t.is(
    reasonIn('setpriv: failed to execute qemu-storage-daemon: Permission denied\n'),
    'setpriv: failed to execute qemu-storage-daemon: Permission denied',
  );
});
