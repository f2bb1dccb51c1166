import test from 'ava';
import { jobFiguresOf, migrateArguments, vmStateOf } from './libvirt-driver.ts';

const least = {
  domain: '-vm1',
  sourceUri: 'qemu:///system',
  destinationUri: 'qemu+ssh://dst/system',
  p2p: false,
  persistent: false,
  undefineSource: false,
  suspend: false,
};

test("virsh's arguments", (t) => {
  t.deepEqual(migrateArguments(least), [
    ...['-c', 'qemu:///system', 'migrate', '--live', '--', '-vm1', 'qemu+ssh://dst/system'],
  ]);
  t.is(
    migrateArguments({
      ...least,
      migrateUri: 'unix:///run/m.sock',
      p2p: true,
      persistent: true,
      undefineSource: true,
      suspend: true,
      bandwidthMibPerSecond: 3,
      switchoverMibPerSecond: 28,
      timeoutSeconds: 60,
    }).join(' '),
    '-c qemu:///system migrate --live --p2p --persistent --undefinesource --suspend --migrateuri unix:///run/m.sock --bandwidth 3 ' +
      '--available-switchover-bandwidth 28 --timeout 60 --timeout-suspend -- -vm1 qemu+ssh://dst/system',
  );
});

test('early resume is libvirt’s post-copy, begun after the shortest time that virsh takes', (t) => {
  t.is(
    migrateArguments({ ...least, early: true }).join(' '),
    '-c qemu:///system migrate --live --postcopy --timeout 1 --timeout-postcopy -- -vm1 qemu+ssh://dst/system',
  );
});

test("what virsh says of a domain's state", (t) => {
  t.is(vmStateOf(0, 'running\n', ''), 'running');
  t.is(vmStateOf(0, 'idle', ''), 'running');
  t.is(vmStateOf(0, 'paused', ''), 'paused');
  t.is(vmStateOf(0, 'shut off', ''), 'absent');
  t.is(vmStateOf(0, 'in shutdown', ''), 'unknown');
  t.is(vmStateOf(1, '', "error: failed to get domain 'vm1'"), 'absent');
  t.is(vmStateOf(1, '', 'error: failed to connect to the hypervisor'), 'unknown');
  t.is(vmStateOf(undefined, '', ''), 'unknown');
});

test("a job's figures", (t) => {
  const text =
    'Job type:         Unbounded   \nmemory_remaining: 1048576\nmemory_dirty_rate: 10\nmemory_page_size: 4096\ndowntime: 120\ndowntime_net: 9\n';
  t.deepEqual(jobFiguresOf(text), { remainingBytes: 1048576, dirtyBytesPerSecond: 40_960, downtimeMs: 120 });
  t.deepEqual(jobFiguresOf('Job type: None\n'), {});
});
