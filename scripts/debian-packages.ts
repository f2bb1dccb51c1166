/**
 * Every Debian package that the project uses, and what for. vagrant/provision.sh, which must stand alone on a host, says those
 * of the hosts again; a test holds it against this.
 */

import type { DatabaseSystem } from '../foundation/database-systems.ts';

/** Packages of this machine itself, by what it does. */
export const machinePackages = {
  /** The local lab: its root file system and its containers. */
  lab: ['mmdebstrap', 'systemd-container', 'socat', 'iproute2', 'e2fsprogs', 'openssh-client', 'util-linux'],
  /** The guest's disk and data; sysbench fills the tables. */
  guestImage: ['e2fsprogs', 'kmod', 'mmdebstrap', 'sysbench', 'util-linux'],
  /** Figures of a report in a language. */
  report: { en: ['librsvg2-bin', 'fonts-dejavu-core'], ja: ['librsvg2-bin', 'fonts-ipafont-gothic'] },
  lint: ['shellcheck'],
  /** `npm run vagrant-box`, which boots the box once. */
  vagrantBox: [
    'mmdebstrap',
    'e2fsprogs',
    'fdisk',
    'openssh-client',
    'qemu-system-x86',
    'qemu-utils',
    'util-linux',
  ],
  /** What tests run, beside what the commands under test install. */
  tests: ['fping', 'mariadb-client-core', 'mariadb-server-core', 'sysbench'],
  pageTests: ['chromium', 'fonts-dejavu-core', 'fonts-ipafont-gothic'],
  /** Debian 12 has them, Debian 13 does not: there, the tests that need them are skipped, and say so. */
  testsOfSomeSuites: ['vagrant', 'vagrant-libvirt'],
} as const;

/** Packages of the testbed's hosts, by role. */
export const hostPackages = {
  common: [
    'openssh-server',
    'sudo',
    'iproute2',
    'iputils-ping',
    'iperf3',
    'ethtool',
    'procps',
    'kmod',
    'socat',
    'zstd',
    'ca-certificates',
  ],
  host: [
    'nfs-common',
    'qemu-system-x86',
    'qemu-block-extra',
    'qemu-utils',
    'libvirt-daemon',
    'libvirt-daemon-driver-qemu',
    'libvirt-clients',
  ],
  nfs: ['nfs-kernel-server'],
  /** Beside those of host and client: an NFS server that needs no kernel's. */
  lab: ['nfs-ganesha', 'nfs-ganesha-vfs', 'rpcbind'],
  client: ['sysbench', 'mariadb-client-core', 'postgresql-client', 'fping', 'haproxy'],
} as const;

/** What provision.sh takes for granted: a machine that boots with systemd. */
export const bootPackages = ['systemd', 'systemd-sysv', 'dbus', 'libpam-systemd'] as const;

/** What makes a Vagrant box of it: `bootPackages`, those of every host, a kernel with KVM and NFS, and what starts it. */
export const boxPackages = [
  'linux-image-cloud-amd64',
  'initramfs-tools',
  'grub-pc-bin',
  'systemd-resolved',
] as const;

/** What every Debian has. */
export const essentialPackages = ['util-linux', 'tar', 'systemd'] as const;

export interface PackageSet {
  readonly suite: 'bullseye' | 'bookworm' | 'trixie' | 'sid';
  readonly packages: readonly string[];
}

/** What the guest needs beside its server: FIEMAP (filefrag), ssh, the agent's runtime, and tools for a look around. */
const guestTools = ['busybox-static', 'dropbear-bin', 'e2fsprogs', 'iproute2', 'nodejs', 'procps'];

/**
 * The guest's system, by server. MySQL is in Debian's unstable suite only. PostgreSQL keeps its buffers at page boundaries from
 * version 16 on, which Debian 13 is the first to have.
 */
export const serverPackages: Readonly<Record<DatabaseSystem, PackageSet>> = {
  mariadb: {
    suite: 'bookworm',
    packages: ['mariadb-server-core', 'mariadb-client-core', 'mariadb-backup', ...guestTools],
  },
  mysql: { suite: 'sid', packages: ['mysql-server-core', 'mysql-client-core', ...guestTools] },
  postgresql: { suite: 'trixie', packages: ['postgresql', ...guestTools] },
};

/** One kernel for every guest, so that servers are compared on the same one. */
export const kernelPackages: PackageSet = {
  suite: 'bookworm',
  packages: ['linux-image-cloud-amd64', 'busybox-static'],
};
