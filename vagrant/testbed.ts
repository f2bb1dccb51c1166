/**
 * Sizes and addresses of the Vagrant machines: the one place to change them. `node scripts/start.mjs
 * harness/testbed/vagrant/write-machines.ts` checks them and writes machines.json, which the Vagrantfile reads.
 *
 * These hold the lab's rows (VMs of up to 3 GiB: provision.sh lets /dev/shm have 90 % of the memory). For the paper's rows give
 * src and dst 28 GiB and nfs a disk of 80 GiB.
 */
import type { VagrantTestbed } from '../harness/testbed/vagrant/machines.ts';

export const vagrantTestbed: VagrantTestbed = {
  box: 'debian/trixie64',
  machines: {
    src: { cpus: 2, memoryMib: 6144, diskGib: 20 },
    dst: { cpus: 2, memoryMib: 6144, diskGib: 20 },
    nfs: { cpus: 2, memoryMib: 2048, diskGib: 30 },
    client: { cpus: 2, memoryMib: 2048, diskGib: 20 },
  },
  // As in the local lab, so addresses in results read alike.
  networks: { migration: '10.10.0', storage: '10.20.0', service: '10.30.0' },
};
