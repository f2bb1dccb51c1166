import test from 'ava';
import { moduleFiles } from './kernel.ts';

test('what modprobe wants loaded is taken in its order, and what is built in left out', (t) => {
  // As kmod 30 prints it, with a space at the end.
  const output =
    'insmod /tree/lib/modules/6.1/virtio_ring.ko \ninsmod /tree/lib/modules/6.1/virtio.ko \nbuiltin ext4\n';
  t.deepEqual(moduleFiles(output), [
    '/tree/lib/modules/6.1/virtio_ring.ko',
    '/tree/lib/modules/6.1/virtio.ko',
  ]);
  t.deepEqual(moduleFiles('builtin ext4\n'), []);
});
