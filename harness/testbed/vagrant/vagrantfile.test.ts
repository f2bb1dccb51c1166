/** vagrant/Vagrantfile with a real Vagrant, offline: boxes and VMs are not needed to read and check it. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm, utimes } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';

const folder = path.resolve(import.meta.dirname, '../../../vagrant');
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

const machinesFile = (): string => path.join(home, 'machines.json');
const vagrant = (...arguments_: string[]) =>
  execa('vagrant', arguments_, {
    cwd: folder,
    reject: false,
    env: {
      POOLSHIFT_MACHINES: machinesFile(),
      VAGRANT_HOME: path.join(home, 'vagrant.d'),
      VAGRANT_DOTFILE_PATH: path.join(home, 'dot'),
      VAGRANT_CHECKPOINT_DISABLE: '1',
      VAGRANT_DEFAULT_PROVIDER: 'libvirt',
    },
  });

vagrantTest(title('without its machines it says how to write them'), async (t) => {
  const { exitCode, stderr } = await vagrant('validate');
  t.not(exitCode, 0);
  t.regex(stderr, /machines\.json is missing; write it with: node scripts\/start\.mjs .*write-machines\.ts/);
});

vagrantTest(title('with the machines that we write it is valid, and has all four'), async (t) => {
  await execa(process.execPath, [path.join(import.meta.dirname, 'write-machines.ts'), machinesFile()]);
  const validated = await vagrant('validate');
  t.is(validated.exitCode, 0, validated.stderr);
  t.regex(validated.stdout, /validated successfully/);
  const { stdout } = await vagrant('status', '--machine-readable');
  const states = stdout.split('\n').filter((line) => line.includes(',provider-name,'));
  t.deepEqual(
    states.map((line) => line.replace(/^\d+,/, '')),
    ['src', 'dst', 'nfs', 'client'].map((name) => `${name},provider-name,libvirt`),
  );
});

vagrantTest(title('machines written before the configuration changed are not taken'), async (t) => {
  await utimes(machinesFile(), 0, 0);
  const { exitCode, stderr } = await vagrant('validate');
  t.not(exitCode, 0);
  t.regex(stderr, /is older than testbed\.ts; write it with/);
});
