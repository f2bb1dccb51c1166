/** Two libvirt daemons on the lab's VM hosts, and the lab's guest as one of their domains. */
import type { Host, HostProcess, Testbed } from '../../testbed/host.ts';
import { quote } from '../../testbed/ssh-host.ts';
import {
  type MachineDescription,
  agentPortName,
  diskSerial,
  kernelCommandLine,
  vmPaths,
} from '../../vm/qemu-arguments.ts';

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

/** Starts the host's libvirtd; returns the versions that it reports. @throws HostError */
export async function startLibvirt(host: Host, uuid: string): Promise<string> {
  // The containers share what libvirt would take the host's UUID from, and it refuses to migrate to the same host.
  const daemonConfiguration = `host_uuid = "${uuid}"\nauth_unix_rw = "none"\n`;
  await host.run(`printf %s ${quote(qemuConfiguration)} > /etc/libvirt/qemu.conf
printf %s ${quote(daemonConfiguration)} > /etc/libvirt/libvirtd.conf
systemctl start libvirtd`);
  return virsh(host, 'version');
}

/** Standard output of a virsh command. @throws HostError with libvirt's message */
export async function virsh(host: Host, command: string, timeoutMs = 60_000): Promise<string> {
  const { stdout } = await host.run(`virsh -c qemu:///system ${command}`, { timeoutMs });
  return stdout.trim();
}

/** Brings the destination's libvirt to a socket of the source host, as libvirt's documentation has it. @throws HostError */
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

export interface DomainProcess {
  readonly qemuPid: number;
  /** The memfd behind the guest's memory, as a path. */
  readonly ramPath: string;
}

/** @throws HostError where the host does not run the domain */
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

/** The machine as a domain of libvirt, whose memory is a shared memfd (libvirt docs/formatdomain.rst). */
export function domainXml(machine: MachineDescription): string {
  if (machine.disk.kind !== 'nfs') throw new Error('the disk must be on NFS');
  const kvm = machine.accelerator === 'kvm';
  const processor = kvm
    ? `<cpu mode='host-passthrough'/>`
    : `<cpu mode='custom' match='exact' check='none'><model fallback='forbid'>Nehalem</model></cpu>`;
  return `<domain type='${kvm ? 'kvm' : 'qemu'}'>
  <name>${domainName}</name>
  <memory unit='b'>${machine.memoryBytes}</memory>
  <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>
  <vcpu>${machine.processors}</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>${machine.kernelPath}</kernel>
    <initrd>${machine.initrdPath}</initrd>
    <cmdline>${kernelCommandLine(machine)}</cmdline>
  </os>
  <features><acpi/></features>
  ${processor}
  <on_reboot>destroy</on_reboot>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='network' device='disk'>
      <driver name='qemu' type='raw' cache='none'/>
      <source protocol='nfs' name='${machine.disk.path}'>
        <host name='${machine.disk.server}'/>
        <identity user='0' group='0'/>
      </source>
      <target dev='vda' bus='virtio'/>
      <serial>${diskSerial}</serial>
    </disk>
    <interface type='ethernet'>
      <mac address='${machine.macAddress}'/>
      <target dev='${machine.tapInterface}' managed='no'/>
      <model type='virtio'/>
      <rom enabled='no'/>
    </interface>
    <channel type='unix'>
      <source mode='bind' path='${vmPaths.agentSocket}'/>
      <target type='virtio' name='${agentPortName}'/>
    </channel>
    <serial type='file'><source path='${vmPaths.console}'/></serial>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
`;
}
