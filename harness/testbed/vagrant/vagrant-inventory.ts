/** The Vagrant machines as an inventory: from there on they are machines like any others. Pure. */
import { stringify } from 'yaml';
import { CodedError } from '../../../foundation/coded-error.ts';
import { type HostName, hostNames, networkNames } from '../host.ts';
import type { MachineAnswer, SshAccess } from './answers.ts';
import type { VagrantMachines } from './machines.ts';

/** Exported by the nfs machine. */
export const vagrantExport = '/srv/export';

export interface VagrantInventory {
  readonly machines: VagrantMachines;
  readonly access: Readonly<Record<HostName, SshAccess>>;
  readonly answers: Readonly<Record<HostName, MachineAnswer>>;
  /** Where src and dst have the export mounted; undefined where their kernel cannot. */
  readonly mountPath: string | undefined;
}

/**
 * hosts.yaml (docs/real-hosts.md).
 * @throws CodedError 'vagrant', 'bad-answer' where a machine has no interface with the hardware address that it was given
 */
export function vagrantInventory({ machines, access, answers, mountPath }: VagrantInventory): string {
  const hosts = hostNames.map((name) => {
    const machine = machines.machines.find((known) => known.name === name);
    const networks = networkNames.map((network, index) => {
      const planned = machine?.networks[index];
      const interfaceName = answers[name].interfaces.get(planned?.mac ?? '');
      if (planned === undefined || interfaceName === undefined)
        throw new CodedError(
          'vagrant',
          'bad-answer',
          `${name} has no interface ${planned?.mac ?? ''} (${network}); "vagrant reload ${name}" makes it`,
        );
      return [network, { address: planned.address, interface: interfaceName }] as const;
    });
    const ssh = { ...access[name], hostKey: answers[name].hostKey };
    return [name, { ssh, networks: Object.fromEntries(networks) }] as const;
  });
  return stringify({
    hosts: Object.fromEntries(hosts),
    nfs: { export: vagrantExport, ...(mountPath === undefined ? {} : { mount: mountPath }) },
    guestAddress: machines.guestAddress,
    shape: true,
  });
}
