/**
 * The testbed as Vagrant machines: what vagrant/testbed.ts may say, and what the Vagrantfile is told. `vagrant validate`
 * finds unknown settings but takes any value, so values are checked here. Pure.
 */
import { z } from 'zod';
import { type HostName, hostNames, networkNames } from '../host.ts';

const wholeNumber = (minimum: number, maximum: number) => z.number().int().min(minimum).max(maximum);

/** Two VM hosts that run QEMU themselves need more than the others. */
const machine = (minMemoryMib: number) =>
  z.strictObject({
    cpus: wholeNumber(1, 256),
    memoryMib: wholeNumber(minMemoryMib, 2 ** 22),
    /** Size of the disk; a box's own is grown to it, never made smaller. */
    diskGib: wholeNumber(10, 65_536),
  });

const privatePrefix = /^(10|172\.(1[6-9]|2\d|3[01])|192\.168)(\.\d{1,3})+$/;

/** First three numbers of a private /24. */
const prefix = z.string().refine(
  (text) => {
    const numbers = text.split('.');
    return (
      privatePrefix.test(text) && numbers.length === 3 && numbers.every((number) => Number(number) <= 255)
    );
  },
  { error: 'the first three numbers of a private network are needed, such as 10.10.0' },
);

export const vagrantTestbedSchema = z
  .strictObject({
    /** A Debian 13 box for libvirt, as OWNER/NAME. */
    box: z.string().regex(/^[\w.-]+\/[\w.-]+$/, 'OWNER/NAME of a box is needed'),
    machines: z.strictObject({
      src: machine(2048),
      dst: machine(2048),
      nfs: machine(1024),
      client: machine(1024),
    }),
    networks: z.strictObject({ migration: prefix, storage: prefix, service: prefix }),
  })
  .superRefine(({ machines, networks }, context) => {
    if (new Set(Object.values(networks)).size < networkNames.length)
      context.addIssue({
        code: 'custom',
        path: ['networks'],
        message: 'each network needs its own addresses',
      });
    if (JSON.stringify(machines.src) !== JSON.stringify(machines.dst))
      context.addIssue({
        code: 'custom',
        path: ['machines', 'dst'],
        message: 'src and dst must be alike: times would depend on the direction',
      });
  });

export type VagrantTestbed = z.infer<typeof vagrantTestbedSchema>;

/** What vagrant/Vagrantfile reads. Names are Ruby's hash keys there. */
export interface VagrantMachines {
  readonly box: string;
  /** On the service network, with its prefix length. */
  readonly guestAddress: string;
  readonly machines: readonly {
    readonly name: HostName;
    /** Argument of vagrant/provision.sh. */
    readonly role: 'host' | 'nfs' | 'client';
    /** Second argument of it, for VM hosts: the export that they mount. */
    readonly mounts?: string;
    readonly cpus: number;
    readonly memoryMib: number;
    readonly diskGib: number;
    /** Whether it runs VMs itself. */
    readonly nested: boolean;
    readonly networks: readonly {
      readonly name: string;
      readonly address: string;
      readonly netmask: string;
      /** Of the machine that the VMs run on. Vagrant's own choice, .1, is an address of ours. */
      readonly hostAddress: string;
      /** Fixed, so that an interface can be told by it whatever the guest names it. */
      readonly mac: string;
    }[];
  }[];
}

/** Where provision.sh has the export mounted. */
export const mountPath = '/mnt/poolshift';

const roles = { src: 'host', dst: 'host', nfs: 'nfs', client: 'client' } as const;

/** @throws ZodError that names each wrong value */
export function vagrantMachines(testbed: VagrantTestbed): VagrantMachines {
  const { box, machines, networks } = vagrantTestbedSchema.parse(testbed);
  const byte = (number: number): string => number.toString(16).padStart(2, '0');
  return {
    box,
    guestAddress: `${networks.service}.10/24`,
    machines: hostNames.map((name, host) => ({
      name,
      role: roles[name],
      // The server's NFSv4 name for what it exports (local/ganesha.ts).
      ...(roles[name] === 'host'
        ? { mounts: `${networks.storage}.${hostNames.indexOf('nfs') + 1}:/export` }
        : {}),
      ...machines[name],
      nested: roles[name] === 'host',
      networks: networkNames.map((network, index) => ({
        name: `poolshift-${network}`,
        // The same last byte on every network, as in the local lab.
        address: `${networks[network]}.${host + 1}`,
        netmask: '255.255.255.0',
        hostAddress: `${networks[network]}.254`,
        mac: `52:54:00:70:${byte(index + 1)}:${byte(host + 1)}`,
      })),
    })),
  };
}
