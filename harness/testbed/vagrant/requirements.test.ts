/** What is said where Vagrant's machines cannot be, before anything is downloaded. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { CodedError } from '../../../foundation/coded-error.ts';
import { listsProvider, requireVagrant } from './requirements.ts';

test('everything that is missing is said at once', async (t) => {
  const error = await t.throwsAsync(
    requireVagrant({
      kvmDevice: '/nowhere/kvm',
      libvirtSocket: '/nowhere/sock',
      env: { PATH: '/nowhere' },
    }),
    { instanceOf: CodedError, name: 'VagrantError' },
  );
  t.is(error.code, 'not-ready');
  const [kvm, libvirt, vagrant] = error.message.split('\n');
  t.regex(kvm ?? '', /^\/nowhere\/kvm is not there .* use --testbed local$/);
  t.regex(libvirt ?? '', /^libvirt does not listen at \/nowhere\/sock; .*systemctl start libvirtd$/);
  t.regex(vagrant ?? '', /^vagrant is not installed; on Debian 12: apt-get install vagrant/);
});

test('a list of plugins has the provider for libvirt or not', (t) => {
  t.true(listsProvider('vagrant-libvirt (0.11.2, system)\n'));
  t.false(listsProvider('No plugins installed.\n'));
  t.false(listsProvider('my-vagrant-libvirt (1.0.0, global)\n'));
});

const installed = ['/usr/bin/vagrant', '/usr/share/doc/vagrant-libvirt'].every((file) => existsSync(file));
(installed ? test : test.skip)('a vagrant that is there is enough, with what it needs', async (t) => {
  const home = await mkdtemp(path.join(tmpdir(), 'poolshift-vagrant-'));
  t.teardown(() => rm(home, { recursive: true, force: true }));
  // Files that are there stand for a device and a socket: only that is looked at.
  const here = import.meta.filename;
  await t.notThrowsAsync(
    requireVagrant({ kvmDevice: here, libvirtSocket: here, env: { VAGRANT_HOME: home } }),
  );
});
