/** Two libvirt daemons on the lab's VM hosts, and the lab's guest as one of their domains. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Host, HostProcess, Testbed } from '../../testbed/host.ts';
import { quote } from '../../../foundation/shell.ts';
import {
  type MachineDescription,
  agentPortName,
  diskSerial,
  kernelCommandLine,
} from '../../../qemu/machine-arguments.ts';

export const domainName = 'poolshift';

/** Where the source host finds the destination's libvirt. */
export const destinationUri = 'qemu+unix:///system?socket=/run/poolshift/libvirt-dst.sock';
const forwardedSocket = '/run/poolshift/libvirt-dst.sock';
const forwardPort = 16509;

/** The host is a container: no cgroups, mount namespaces or security labels of libvirt's own inside it. */
const qemuConfiguration = `user = "root"
group = "root"
dynamic_ownership = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
`;

/** Starts the host's libvirtd; returns the versions that it reports. @throws CodedError 'host' */
export async function startLibvirt(host: Host, uuid: string): Promise<string> {
  // The containers share what libvirt would take the host's UUID from, and it refuses to migrate to the same host.
  // A client that is lost is given up after 12 s, and not 30.
  const daemonConfiguration = `host_uuid = "${uuid}"\nauth_unix_rw = "none"\nkeepalive_interval = 2\n`;
  await host.run(`printf %s ${quote(qemuConfiguration)} > /etc/libvirt/qemu.conf
printf %s ${quote(daemonConfiguration)} > /etc/libvirt/libvirtd.conf
systemctl start libvirtd`);
  return virsh(host, 'version');
}

/** Standard output of a virsh command. @throws CodedError 'host' with libvirt's message */
export async function virsh(host: Host, command: string, timeoutMs = 60_000): Promise<string> {
  const { stdout } = await host.run(`virsh -c qemu:///system ${command}`, { timeoutMs });
  return stdout.trim();
}

/** Brings the destination's libvirt to a socket of the source host, as libvirt's documentation has it. @throws CodedError 'host' */
export async function forwardLibvirt({ hosts, networks }: Testbed): Promise<readonly HostProcess[]> {
  const address = networks.service.addresses.dst;
  const listening = hosts.dst.spawn(
    `exec socat TCP-LISTEN:${forwardPort},bind=${address},reuseaddr,fork UNIX-CONNECT:/run/libvirt/libvirt-sock`,
  );
  const connecting = hosts.src.spawn(
    `exec socat UNIX-LISTEN:${forwardedSocket},fork TCP:${address}:${forwardPort}`,
  );
  const there = (test: string): string =>
    `for attempt in $(seq 100); do ${test} && exit 0; sleep 0.05; done; exit 1`;
  await hosts.dst.run(there(`ss -ltn | grep -q ':${forwardPort} '`));
  await hosts.src.run(there(`[ -S ${forwardedSocket} ]`));
  return [listening, connecting];
}

interface DomainProcess {
  readonly qemuPid: number;
  /** The memfd behind the guest's memory, as a path. */
  readonly ramPath: string;
}

/** @throws CodedError 'host' where the host does not run the domain */
export async function domainProcess(host: Host): Promise<DomainProcess> {
  const { stdout } = await host.run(`set -e
pid=$(cat /run/libvirt/qemu/${domainName}.pid)
for file in /proc/"$pid"/fd/*; do
  case $(readlink "$file" || true) in /memfd:memory-backend-memfd*) echo "$pid $file" ;; esac
done`);
  const lines = stdout.trim().split('\n');
  const [pid, ramPath] = lines[0]?.split(' ') ?? [];
  if (lines.length !== 1 || ramPath === undefined)
    throw new Error(`${host.name}: QEMU has ${stdout} as memory, not one memfd`);
  return { qemuPid: Number(pid), ramPath };
}

const example = path.join(import.meta.dirname, '../../../examples/domain.xml');

/**
 * The machine as a domain of libvirt (libvirt docs/formatdomain.rst): that of examples/domain.xml, with the lab's names and paths, the
 * lab's kernel and interface, and without KVM where there is none.
 */
export async function domainXml(machine: MachineDescription): Promise<string> {
  if (machine.disk.kind !== 'nfs') throw new Error('the disk must be on NFS');
  const kvm = machine.accelerator === 'kvm';
  const processor = kvm
    ? `<cpu mode="host-passthrough"/>`
    : `<cpu mode="custom" match="exact" check="none"><model fallback="forbid">Nehalem</model></cpu>`;
  const replacements: readonly (readonly [RegExp, string])[] = [
    [/<domain type="kvm">/, `<domain type="${kvm ? 'kvm' : 'qemu'}">`],
    [/<name>.*<\/name>/, `<name>${machine.name}</name>`],
    [/<memory .*<\/memory>/, `<memory unit="b">${machine.memoryBytes}</memory>`],
    [/<vcpu>.*<\/vcpu>/, `<vcpu>${machine.processors}</vcpu>`],
    [
      /<boot dev="hd"\/>/,
      `<kernel>${machine.kernelPath}</kernel>
    <initrd>${machine.initrdPath}</initrd>
    <cmdline>${kernelCommandLine(machine)}</cmdline>`,
    ],
    [/<cpu .*\/>/, `${processor}\n  <on_reboot>destroy</on_reboot>`],
    [/(?<=<source protocol="nfs" name=")[^"]*/, machine.disk.path],
    [/(?<=<host name=")[^"]*/, machine.disk.server],
    [/(?<=<serial>)[^<]*/, diskSerial],
    [
      /<interface type="bridge">\s*<source bridge="br0"\/>/,
      `<interface type="ethernet">
      <mac address="${machine.macAddress}"/>
      <target dev="${machine.tapInterface}" managed="no"/>`,
    ],
    [/(?<=<source mode="bind" path=")[^"]*/, machine.paths.agentSocket],
    [/(?<=<target type="virtio" name=")[^"]*/, agentPortName],
    [/<serial type="pty"\/>/, `<serial type="file"><source path="${machine.paths.console}"/></serial>`],
  ];
  let xml = await readFile(example, 'utf8');
  for (const [pattern, replacement] of replacements) {
    if (!pattern.test(xml)) throw new Error(`examples/domain.xml has nothing like ${String(pattern)}`);
    xml = xml.replace(pattern, () => replacement);
  }
  return xml;
}
