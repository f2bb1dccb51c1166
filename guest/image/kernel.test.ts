import test from 'ava';
import { moduleDependencies } from './kernel.ts';

const modinfo = (text: string): Buffer => Buffer.from(`\x7fELF..\0license=GPL\0${text}\0name=x\0`, 'latin1');

test("a module's dependencies are read from its .modinfo section", (t) => {
  t.deepEqual(moduleDependencies(modinfo('depends=virtio_ring,virtio')), ['virtio_ring', 'virtio']);
  t.deepEqual(moduleDependencies(modinfo('depends=')), []);
  t.deepEqual(moduleDependencies(modinfo('author=somebody who depends=on\x01')), []);
});
