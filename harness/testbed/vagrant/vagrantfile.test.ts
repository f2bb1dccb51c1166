/** vagrant/Vagrantfile against what the harness takes for granted of it, and with a real Vagrant where there is one. */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { boxName, boxVagrantfile } from '../../../vagrant/box.ts';
import { hostNames, networkNames } from '../host.ts';
import { labAddress, labNetworks } from '../local/lab-network.ts';
import { accessOf, vagrantPlan } from './start.ts';

const folder = path.resolve(import.meta.dirname, '../../../vagrant');
const vagrantfile = await readFile(path.join(folder, 'Vagrantfile'), 'utf8');
// Debian 13 has no vagrant, Debian 12 has both: 19 MB to download, 89 MB installed.
const installed = ['/usr/bin/vagrant', '/usr/share/doc/vagrant-libvirt'].every((file) => existsSync(file));
const vagrantTest = installed ? test.serial : test.serial.skip;
const title = (text: string): string =>
  installed ? text : `${text} (skipped: no vagrant with vagrant-libvirt; Debian 12 has both packages)`;

let home: string;
test.before(async () => {
  home = await mkdtemp(path.join(os.tmpdir(), 'poolshift-vagrant-'));
});
test.after.always(async () => {
  await rm(home, { recursive: true });
});

const vagrant = (cwd: string, ...arguments_: string[]) =>
  execa('vagrant', arguments_, {
    cwd,
    env: {
      VAGRANT_HOME: path.join(home, 'vagrant.d'),
      VAGRANT_DOTFILE_PATH: path.join(home, 'dot'),
      VAGRANT_CHECKPOINT_DISABLE: '1',
      VAGRANT_DEFAULT_PROVIDER: 'libvirt',
    },
  });

test('machines have the addresses, the export and the box that the harness takes for granted', (t) => {
  t.true(vagrantfile.includes(`'${boxName}'`));
  // Interfaces are told by the networks' order.
  t.deepEqual(
    [...vagrantfile.matchAll(/'(\w+)' => '([\d.]+)'/g)].map(([, network, prefix]) => [network, prefix]),
    networkNames.map((network) => [network, labNetworks[network].prefix]),
  );
  const rows = [...vagrantfile.matchAll(/'(\w+)' => \{.*address: (\d+), role: %w\[(.*)\]/g)];
  const exported = `${labAddress('storage', 'nfs')}:${vagrantPlan.nfs.export}`;
  t.deepEqual(Object.fromEntries(rows.map(([, name, address, role]) => [name, `${address} ${role}`])), {
    src: `1 host ${exported}`,
    dst: `2 host ${exported}`,
    nfs: `3 nfs ${vagrantPlan.nfs.export}`,
    client: '4 client',
  });
  t.deepEqual(
    hostNames.map((name) => labAddress('service', name).split('.').at(-1)),
    ['1', '2', '3', '4'],
  );
});

vagrantTest(title('a real Vagrant takes it, and has all four machines'), async (t) => {
  t.regex((await vagrant(folder, 'validate')).stdout, /validated successfully/);
  const { stdout } = await vagrant(folder, 'status', '--machine-readable');
  const states = stdout.split('\n').filter((line) => line.includes(',provider-name,'));
  t.deepEqual(
    states.map((line) => line.replace(/^\d+,/, '')).sort(),
    ['client', 'dst', 'nfs', 'src'].map((name) => `${name},provider-name,libvirt`),
  );
});

for (const driver of ['kvm', 'qemu'] as const)
  vagrantTest(title(`a real Vagrant takes what a box for ${driver} says of itself`), async (t) => {
    const box = path.join(home, driver);
    await mkdir(box);
    // Only that it is there is looked at.
    await writeFile(path.join(box, 'vagrant_private_key'), '');
    await writeFile(
      path.join(box, 'Vagrantfile'),
      `${boxVagrantfile(driver)}Vagrant.configure('2') { |config| config.vm.box = '${boxName}' }\n`,
    );
    t.regex((await vagrant(box, 'validate')).stdout, /validated successfully/);
  });

test('ssh is asked how it enters a machine: the first key counts, and paths may have blanks', async (t) => {
  // As Vagrant 2.3.4 writes it (templates/commands/ssh_config/config.erb).
  const file = path.join(home, 'ssh-config');
  const entry = (name: string, more: string): string => `Host ${name}
  HostName 192.168.121.12
  User vagrant
  Port 2222
  UserKnownHostsFile /dev/null
  StrictHostKeyChecking no
  IdentityFile "/home/some body/private_key"
  IdentityFile /home/somebody/.vagrant.d/insecure_private_key
${more}
`;
  await writeFile(file, entry('src', '') + entry('dst', '  ProxyCommand ssh -W %h:%p kvm.example.org'));
  const access = {
    address: '192.168.121.12',
    port: 2222,
    user: 'vagrant',
    identityFile: '/home/some body/private_key',
  };
  t.deepEqual(await accessOf('src', file), access);
  t.deepEqual(await accessOf('dst', file), { ...access, proxyCommand: 'ssh -W %h:%p kvm.example.org' });
});
