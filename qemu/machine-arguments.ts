/** QEMU's command line from a typed description of the machine (QEMU docs/system/invocation.rst). Needs QEMU 9.0. */

/** Where the machine's files lie on its host. */
export interface VmPaths {
  /** QMP for the harness. */
  readonly controlSocket: string;
  /** QMP for the recorder, so that its polling never waits behind a command. */
  readonly recorderSocket: string;
  /** Host end of the guest agent's virtio-serial port. */
  readonly agentSocket: string;
  readonly console: string;
  readonly pidFile: string;
  /** Guest RAM as a file, which the engine and the RAM comparison read. */
  readonly ram: string;
}

const ramBlockName = 'ram0';
export const agentPortName = 'poolshift.agent.0';
export const diskSerial = 'poolshift-disk';

export type Accelerator = 'kvm' | 'tcg';

export type Disk =
  /** QEMU reads and writes the image over NFS by itself; the host mounts nothing. */
  | { readonly kind: 'nfs'; readonly server: string; readonly path: string }
  | { readonly kind: 'file'; readonly path: string };

export interface MachineDescription {
  readonly name: string;
  readonly paths: VmPaths;
  readonly accelerator: Accelerator;
  readonly memoryBytes: number;
  /** Under TCG use 1: threads of several virtual processors hinder each other. */
  readonly processors: number;
  readonly kernelPath: string;
  readonly initrdPath: string;
  /** The guest's address with its prefix length. */
  readonly guestAddress: string;
  readonly bufferPoolBytes: number;
  /** More options of the database server, such as "--innodb-io-capacity=400". */
  readonly serverOptions?: readonly string[];
  readonly disk: Disk;
  /** The data directory lies in this export, which the guest mounts over NFSv4, and not on its disk: "10.30.0.3:/export". */
  readonly nfsDataExport?: string;
  /** Its server waits for another VM's disk, which is plugged in while it runs (diskToPlugIn), or for a copy of its data. */
  readonly standby?: 'handover' | 'replica';
  /** Gives a copy of its server's data to who connects (guest/image/guest-init.sh). */
  readonly givesBackup?: boolean;
  /** Tap interface on the host, which is a port of the service network's bridge. */
  readonly tapInterface: string;
  readonly macAddress: string;
  /**
   * A target waits for a migration (`-incoming defer`), and when it has everything, to be continued (`-S`): only the source
   * knows that its VM will not run again. Everything else must equal the source.
   */
  readonly role: 'source' | 'target';
  /** Default true. A target without the agent's port lacks a device of its source. */
  readonly agentPort?: boolean;
  /** Its memory has all its pages when QEMU has started. */
  readonly prefaults?: boolean;
  /** A virtio-balloon, whose driver is in the guest always; with `free-page-hint` it is told free pages while it migrates. */
  readonly balloon?: 'plain' | 'free-page-hint';
}

/** For all accelerators: no mitigations (they would only be measured), one reboot is an exit (`-no-reboot`). */
const kernelParameters = [
  'console=ttyS0',
  'quiet',
  'panic=-1',
  'net.ifnames=0',
  'mitigations=off',
  'nowatchdog',
  'nokaslr',
  'audit=0',
];

/** An emulated clock drifts from the emulated timers, and the kernel would distrust both. */
const emulationParameters = ['tsc=reliable', 'no_timer_check'];

/** The accelerator with the processor that it offers the guest. */
export function processorArguments(accelerator: Accelerator): readonly string[] {
  return accelerator === 'kvm'
    ? ['-accel', 'kvm', '-cpu', 'host']
    : // Nehalem has the CRC32 instruction that InnoDB wants and no vectors that TCG is slow at.
      ['-accel', 'tcg,thread=multi,tb-size=256', '-cpu', 'Nehalem'];
}

export function kernelCommandLine(machine: MachineDescription): string {
  const { accelerator, guestAddress, bufferPoolBytes, nfsDataExport, serverOptions = [], standby } = machine;
  return [
    ...kernelParameters,
    ...(accelerator === 'tcg' ? emulationParameters : []),
    `poolshift.address=${guestAddress}`,
    `poolshift.pool=${bufferPoolBytes}`,
    ...(nfsDataExport === undefined ? [] : [`poolshift.nfs=${nfsDataExport}`]),
    ...(standby === undefined ? [] : [`poolshift.standby=${standby}`]),
    ...(machine.givesBackup === true ? ['poolshift.backup'] : []),
    ...(serverOptions.length === 0 ? [] : [`poolshift.options=${serverOptions.join(',')}`]),
  ].join(' ');
}

export function qemuArguments(machine: MachineDescription): readonly string[] {
  const { paths } = machine;
  return [
    ...['-name', `guest=${machine.name},debug-threads=on`],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-machine', `q35,usb=off,vmport=off,hpet=off,memory-backend=${ramBlockName}`],
    ...processorArguments(machine.accelerator),
    ...['-smp', String(machine.processors)],
    ...['-m', `${machine.memoryBytes}B`],
    '-object',
    `memory-backend-file,id=${ramBlockName},share=on,mem-path=${paths.ram},size=${machine.memoryBytes}B` +
      (machine.prefaults === true ? ',prealloc=on' : ''),
    ...['-kernel', machine.kernelPath, '-initrd', machine.initrdPath, '-append', kernelCommandLine(machine)],
    ...diskArguments(machine.disk),
    ...['-netdev', `tap,id=net0,ifname=${machine.tapInterface},script=no,downscript=no,vhost=off`],
    ...['-device', `virtio-net-pci,netdev=net0,mac=${machine.macAddress},romfile=`],
    ...['-device', 'virtio-serial-pci'],
    ...['-chardev', `socket,id=agent0,path=${paths.agentSocket},server=on,wait=off`],
    ...(machine.agentPort === false
      ? []
      : ['-device', `virtserialport,chardev=agent0,name=${agentPortName}`]),
    ...balloonArguments(machine.balloon),
    ...(machine.standby === 'handover' ? ['-device', `pcie-root-port,id=${hotPlugPort}`] : []),
    ...['-serial', `file:${paths.console}`],
    ...[paths.controlSocket, paths.recorderSocket].flatMap((socket) => [
      '-qmp',
      `unix:${socket},server=on,wait=off`,
    ]),
    ...['-pidfile', paths.pidFile],
    ...(machine.role === 'target' ? ['-incoming', 'defer', '-S'] : []),
  ];
}

/** Nodes of the disk, without the host's page cache: source and destination must see each other's writes. */
function diskNodes(disk: Disk, number: number): readonly Readonly<Record<string, unknown>>[] {
  const storage =
    disk.kind === 'nfs'
      ? { driver: 'nfs', server: { type: 'inet', host: disk.server }, path: disk.path }
      : { driver: 'file', filename: disk.path };
  const cache = { direct: true };
  return [
    { ...storage, 'node-name': `storage${number}`, cache },
    { driver: 'raw', file: `storage${number}`, 'node-name': `disk${number}`, cache },
  ];
}

function diskArguments(disk: Disk): readonly string[] {
  return [
    ...diskNodes(disk, 0).flatMap((node) => ['-blockdev', JSON.stringify(node)]),
    ...['-device', `virtio-blk-pci,drive=disk0,serial=${diskSerial}`],
  ];
}

const hotPlugPort = 'port0';

/** What a machine on standby is told to get another VM's disk, as its second: arguments of blockdev-add, then of device_add. */
export function diskToPlugIn(disk: Disk) {
  return {
    nodes: diskNodes(disk, 1),
    device: { driver: 'virtio-blk-pci', id: 'plugged0', bus: hotPlugPort, drive: 'disk1' },
  } as const;
}

function balloonArguments(balloon: MachineDescription['balloon']): readonly string[] {
  switch (balloon) {
    case undefined:
      return [];
    case 'plain':
      // A guest that runs short takes pages back, in place of killing its server.
      return ['-device', 'virtio-balloon-pci,deflate-on-oom=on'];
    case 'free-page-hint':
      // Hints come by a thread of their own, without which QEMU does not offer them (hw/virtio/virtio-balloon.c).
      return [
        ...['-object', 'iothread,id=balloon0'],
        ...['-device', 'virtio-balloon-pci,free-page-hint=on,iothread=balloon0'],
      ];
  }
}
