/** What must be there before `vagrant up` is tried: its own messages come late, and after downloads. */
import { access, constants } from 'node:fs/promises';
import { CodedError } from '../../../foundation/coded-error.ts';
import { vagrantCommand } from './vagrant-command.ts';

export interface Places {
  readonly kvmDevice: string;
  readonly libvirtSocket: string;
  /** For `vagrant`; the environment of this process by default. */
  readonly env?: Readonly<Record<string, string>>;
}

export const usualPlaces: Places = {
  kvmDevice: '/dev/kvm',
  libvirtSocket: '/run/libvirt/libvirt-sock',
};

/** @throws CodedError 'vagrant', 'not-ready' that says everything that is to be installed or started */
export async function requireVagrant({ kvmDevice, libvirtSocket, env }: Places): Promise<void> {
  const listed = await vagrantCommand({ env })`plugin list`;
  const missing = [
    ...((await mayUse(kvmDevice))
      ? []
      : [
          `${kvmDevice} is not there or may not be used: the machines need KVM, with nested virtualisation for src and dst; without it, use --testbed local`,
        ]),
    ...((await mayUse(libvirtSocket))
      ? []
      : [
          `libvirt does not listen at ${libvirtSocket}; on Debian: apt-get install libvirt-daemon-system, systemctl start libvirtd`,
        ]),
    ...(listed.exitCode === 127
      ? [
          'vagrant is not installed; on Debian 12: apt-get install vagrant vagrant-libvirt (Debian 13 has neither)',
        ]
      : !listed.ok
        ? [`vagrant does not run: ${listed.stderr.slice(-500)}`]
        : listsProvider(listed.stdout)
          ? []
          : [
              'vagrant has no provider for libvirt; on Debian 12: apt-get install vagrant-libvirt, elsewhere: vagrant plugin install vagrant-libvirt',
            ]),
  ];
  if (missing.length > 0) throw new CodedError('vagrant', 'not-ready', missing.join('\n'));
}

/** Reads `vagrant plugin list`. */
export function listsProvider(output: string): boolean {
  return /^vagrant-libvirt /m.test(output);
}

async function mayUse(file: string): Promise<boolean> {
  try {
    await access(file, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
