import test from 'ava';
import { vagrantTestbed } from '../../../vagrant/testbed.ts';
import { labNetworks } from '../local/lab-network.ts';
import { type VagrantTestbed, vagrantMachines } from './machines.ts';

test('the machines have their roles, and addresses as in the local lab', (t) => {
  const { machines } = vagrantMachines(vagrantTestbed);
  t.deepEqual(
    machines.map(({ name, role, nested }) => `${name} ${role} ${nested}`),
    ['src host true', 'dst host true', 'nfs nfs false', 'client client false'],
  );
  t.deepEqual(
    machines[1]?.networks.map(({ address }) => address),
    [labNetworks.migration, labNetworks.storage, labNetworks.service].map(({ prefix }) => `${prefix}.2`),
  );
});

test('no two interfaces share an address, with the host of the VMs neither', (t) => {
  const interfaces = vagrantMachines(vagrantTestbed).machines.flatMap(({ networks }) => networks);
  t.is(interfaces.length, 12);
  for (const key of ['address', 'mac'] as const) t.is(new Set(interfaces.map((one) => one[key])).size, 12);
  const addresses = new Set(interfaces.map(({ address }) => address));
  t.true(
    interfaces.every(
      ({ hostAddress, mac }) => !addresses.has(hostAddress) && /^52(:[\da-f]{2}){5}$/.test(mac),
    ),
  );
});

const { machines, networks } = vagrantTestbed;
const small = { ...machines.src, memoryMib: 512 };

for (const [what, wrong, said] of [
  ['an unknown box', { box: 'trixie' }, /OWNER\/NAME/],
  ['too little memory', { machines: { ...machines, src: small, dst: small } }, /2048/],
  ['half a processor', { machines: { ...machines, nfs: { ...machines.nfs, cpus: 0.5 } } }, /nfs/],
  [
    'hosts that are not alike',
    { machines: { ...machines, dst: { ...machines.dst, cpus: 4 } } },
    /must be alike/,
  ],
  ['a network given twice', { networks: { ...networks, storage: networks.migration } }, /its own addresses/],
  ['a public network', { networks: { ...networks, storage: '8.8.8' } }, /private network/],
  ['half a network', { networks: { ...networks, storage: '10.10' } }, /private network/],
  ['a number too large', { networks: { ...networks, storage: '10.20.300' } }, /private network/],
] as const satisfies readonly (readonly [string, Partial<VagrantTestbed>, RegExp])[]) {
  test(`refuses ${what}`, (t) => {
    t.regex(t.throws(() => vagrantMachines({ ...vagrantTestbed, ...wrong })).message, said);
  });
}

test('refuses what nobody reads', (t) => {
  const misspelt = { ...vagrantTestbed, machines: { ...machines, nfs: { ...machines.nfs, memory: 4096 } } };
  t.regex(t.throws(() => vagrantMachines(misspelt)).message, /memory/);
});
