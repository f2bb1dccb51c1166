import test from 'ava';
import { networkPlans } from '../testbed/local/lab-network.ts';
import { runDisk } from './disk-place.ts';

const networks = networkPlans({ migration: undefined, storage: undefined, service: undefined });

test('a run writes to files of its own name, in an export that is somebody’s', (t) => {
  const storage = { exportPath: '/srv/export', mountPath: undefined, networks };
  t.deepEqual(runDisk(storage, 'disk-1'), {
    serverPath: '/srv/export/poolshift-disk-1.img',
    qemu: { kind: 'nfs', server: '10.20.0.3', path: '/srv/export/poolshift-disk-1.img' },
    engine: 'nfs://10.20.0.3/srv/export/poolshift-disk-1.img',
  });
  t.is(runDisk({ ...storage, mountPath: '/mnt/images' }, 'disk').engine, '/mnt/images/poolshift-disk.img');
});
