import test from 'ava';
import { obstacleTo } from './recovery.ts';

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
  t.regex(obstacle('completed') ?? '', /everything on dst: end what is left of it on src .*virsh destroy/);
  for (const state of ['postcopy-active', 'postcopy-recover'])
    t.regex(obstacle(state) ?? '', /on their way to dst/);
  for (const state of ['none', 'active', 'failed']) t.regex(obstacle(state) ?? '', new RegExp(`"${state}"`));
  for (const state of ['none', 'completed'])
    t.regex(obstacle(state, true) ?? '', /vm1 runs on src: it was not moved/);
  for (const state of ['postcopy-paused', 'postcopy-active'])
    t.regex(obstacle(state, true) ?? '', /vm1 runs on src, and QEMU on dst has it as well: end that one/);
});
