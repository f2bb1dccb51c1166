/** What stands in the way of a migration, from what both hosts said, each with what mends it. Pure. */
import { agentPortName } from '../engine/list/agent-protocol.ts';
import { gibibytes, megabitsPerSecond } from '../foundation/quantity.ts';
import type {
  AgentFacts,
  DestinationFacts,
  DiskFacts,
  DomainFacts,
  HostFacts,
  Reachability,
  StorageFacts,
  UnopenedPlace,
} from './facts.ts';
import {
  disksNotRead,
  disksNotTold,
  locationOf,
  notComparable,
  sourcesWithoutPlace,
} from './storage-places.ts';

/** Ways to migrate: the engine's strategies, and libvirt or QEMU alone. */
export const methods = ['balance', 'restore', 'resume', 'plain'] as const;
export type Method = (typeof methods)[number];

export interface Finding {
  readonly check: string;
  /**
   * `fault`: no migration; `no-engine`: none through the engines, but a plain one; `note`: it goes, and here is what to know.
   */
  readonly level: 'ok' | 'note' | 'no-engine' | 'fault';
  readonly says: string;
  readonly fix?: string;
}

export interface Asked {
  readonly source: HostFacts;
  readonly domain: DomainFacts;
  readonly destination: DestinationFacts;
  readonly storage: {
    readonly source: readonly StorageFacts[];
    readonly destination: readonly StorageFacts[];
  };
  /** ms by which the destination's clock is ahead. */
  /** As `--storage` takes them. */
  readonly places: readonly string[];
  /** Those of them that the destination's engine cannot open. */
  readonly unopened: readonly UnopenedPlace[];
  readonly clockDifferenceMs: number;
  readonly address: string;
  readonly reachability: Reachability;
  /** Engines of an earlier migration of this VM that are still there. */
  readonly unitsLeft: readonly { readonly host: string; readonly unit: string }[];
  /** Of other VMs that move there at the same time, and may not have all of it yet. Default 0. */
  readonly memoryUnderWayBytes?: number;
}

const ok = (check: string, says: string): Finding => ({ check, level: 'ok', says });
const found = (level: 'note' | 'no-engine' | 'fault', check: string, says: string, fix: string): Finding => ({
  check,
  level,
  says,
  fix,
});

/** More makes logs of the two hosts hard to bring together; certificates stand more. */
const maxClockDifferenceMs = 2000;

/** The channel that a domain needs for the agent. */
export const channelXml = `<channel type="unix"><target type="virtio" name="${agentPortName}"/></channel>`;

export function judge(asked: Asked): readonly Finding[] {
  const { source, domain, destination } = asked;
  return [
    ...versions(source, destination),
    ...theDomain(domain, destination),
    ...engines(source, destination),
    ...left(asked),
    ...agent(
      { socket: domain.agentSocket, ...domain.agent },
      `poolshift check --add-channel, or virsh attach-device DOMAIN FILE --live --config, with FILE holding ${channelXml}`,
    ),
    ...storage(domain.disks, asked),
    ...listed(domain.agent, asked.places),
    memory(domain, destination, asked.memoryUnderWayBytes ?? 0),
    ...memoryBlocks(domain),
    port(asked),
    clock(asked),
    ...labels(domain),
    ...link(domain),
  ];
}

/** The same of two QEMUs without libvirt. */
export interface QemusAsked {
  readonly source: HostFacts;
  readonly destination: HostFacts & { readonly port: number };
  readonly qemu: {
    /** Of the source and of the target. */
    readonly versions: readonly [string, string];
    readonly status: string;
    readonly targetStatus: string;
    /** Capabilities that the source has switched on. */
    readonly on: readonly string[];
    /** Its balloon tells it which pages are free. */
    readonly freePageHints: boolean;
    /** NaN or 0 where the process behind the socket is not found. */
    readonly pid: number;
  };
  readonly agent: AgentFacts & { readonly socket: string };
  readonly disks: readonly DiskFacts[];
  readonly unitsLeft: Asked['unitsLeft'];
  readonly storage: Asked['storage'];
  readonly places: Asked['places'];
  readonly unopened: Asked['unopened'];
  readonly clockDifferenceMs: number;
  readonly address: string;
  readonly reachability: Reachability;
}

export function judgeQemus(asked: QemusAsked): readonly Finding[] {
  const { source, destination, qemu } = asked;
  return [
    ...qemus(qemu),
    ...engines(source, { ...destination, hasUser: true }),
    ...left(asked),
    ...agent(
      asked.agent,
      `give QEMU a virtserialport with the name ${agentPortName} (docs/agent.md), or name its socket with --agent`,
    ),
    ...storage(asked.disks, asked),
    ...listed(asked.agent, asked.places),
    port(asked),
    clock(asked),
  ];
}

function qemus({
  versions,
  status,
  targetStatus,
  on,
  freePageHints,
  pid,
}: QemusAsked['qemu']): readonly Finding[] {
  const old = versions.find((version) => Number.parseFloat(version) < 7.2);
  return [
    old === undefined
      ? ok('QEMU', versions.join(' to '))
      : found('no-engine', 'QEMU', old, 'the engine takes QEMU 7.2 or newer'),
    ...older(versions),
    status === 'running'
      ? ok('source', 'running')
      : found('fault', 'source', `is ${status}`, 'only a running VM is migrated live: cont'),
    targetStatus === 'inmigrate'
      ? ok('target', 'waits for a migration')
      : found(
          'fault',
          'target',
          `is ${targetStatus}`,
          "start it with the source's arguments and -incoming defer -S",
        ),
    ...(on.includes('multifd')
      ? [
          found(
            'no-engine',
            'multifd',
            'is switched on',
            'switch it off at both ends: the engine takes one stream',
          ),
        ]
      : []),
    ...(on.includes('xbzrle') && freePageHints
      ? [
          found(
            'no-engine',
            'xbzrle',
            'is switched on, and the balloon gives free-page hints: memory could differ unseen',
            'switch one of them off (docs/engine.md, Use)',
          ),
        ]
      : []),
    ...(pid > 0
      ? []
      : [
          found(
            'no-engine',
            'process',
            "the QEMU behind the source's socket is not found",
            'run as root there',
          ),
        ]),
  ];
}

function versions(source: HostFacts, destination: HostFacts): readonly Finding[] {
  const hosts = [source, destination].map((host) => {
    const check = `libvirt on ${host.name}`;
    if (host.libvirt === '' || host.qemu === '')
      return found(
        'fault',
        check,
        'libvirt does not answer at qemu:///system',
        'apt-get install libvirt-daemon-system qemu-system-x86; systemctl start libvirtd',
      );
    if (Number.parseFloat(host.qemu) < 7.2)
      return found('no-engine', check, `QEMU ${host.qemu}`, 'the engine takes QEMU 7.2 or newer');
    return ok(check, `libvirt ${host.libvirt}, QEMU ${host.qemu}`);
  });
  return [...hosts, ...older([source.qemu, destination.qemu])];
}

/** A machine type is as old as the QEMU that made the VM. */
function older([source, target]: readonly [string, string]): readonly Finding[] {
  if (target === '' || source.localeCompare(target, 'en', { numeric: true }) <= 0) return [];
  return [
    found(
      'note',
      'versions',
      `QEMU ${target} at the destination is older than ${source} here`,
      'it takes the VM only if it knows its machine type; else upgrade it',
    ),
  ];
}

function theDomain({ name, state }: DomainFacts, destination: DestinationFacts): readonly Finding[] {
  const check = `domain ${name}`;
  if (state === '')
    return [found('fault', check, 'there is no such domain on the source', 'virsh list --all')];
  if (state !== 'running')
    return [
      found(
        'fault',
        check,
        `is ${state}`,
        'only a running domain is migrated live: virsh start, or virsh resume',
      ),
    ];
  if (destination.nameIsTaken)
    return [
      found(
        'fault',
        check,
        `${destination.name} has another domain of that name`,
        `virsh domrename ${name} NEW on one of the hosts`,
      ),
    ];
  if (destination.domainState !== '' && destination.domainState !== 'shut off')
    return [
      found(
        'fault',
        check,
        `is ${destination.domainState} on ${destination.name} already`,
        `virsh domstate ${name} on both hosts; only one may have it`,
      ),
    ];
  return [ok(check, 'running')];
}

function engines(
  source: HostFacts,
  destination: HostFacts & Pick<DestinationFacts, 'hasUser'>,
): readonly Finding[] {
  const without = [source, destination].filter(({ engine }) => engine === '').map(({ name }) => name);
  if (without.length > 0)
    return [
      found(
        'no-engine',
        'engine',
        `poolshift-engine is not on ${without.join(' and ')}`,
        'install the package poolshift there',
      ),
    ];
  if (source.engine !== destination.engine)
    return [
      found(
        'no-engine',
        'engine',
        'the two hosts have different versions of poolshift-engine',
        'install the same package on both',
      ),
    ];
  if (!destination.hasUser)
    return [
      found(
        'no-engine',
        'engine',
        `${destination.name} lacks the user that QEMU runs as at the source`,
        'install the same libvirt packages',
      ),
    ];
  const detached = [source, destination].filter(({ hasSystemd }) => !hasSystemd).map(({ name }) => name);
  return [
    ok('engine', 'the same on both hosts'),
    ...(detached.length === 0
      ? []
      : [
          found(
            'note',
            'engine',
            `no systemd on ${detached.join(' and ')}: the engine is a detached process there`,
            'nothing to do',
          ),
        ]),
  ];
}

function left({ unitsLeft }: Pick<Asked, 'unitsLeft'>): readonly Finding[] {
  return unitsLeft.map(({ host, unit }) =>
    found(
      'no-engine',
      'engine',
      `one of an earlier migration of this VM is still there on ${host}`,
      `see "poolshift status" on ${host}; where nothing migrates: systemctl kill -s TERM ${unit}, which ends it unless it is in doubt`,
    ),
  );
}

function agent({ socket, answers, says }: QemusAsked['agent'], fix: string): readonly Finding[] {
  if (socket === '') return [found('no-engine', 'agent', 'the VM has no channel for the agent', fix)];
  if (!answers)
    return [
      found(
        'no-engine',
        'agent',
        `it does not answer: ${says.split('\n').at(-1) ?? ''}`,
        'in the guest: systemctl status poolshift-agent (package poolshift-agent)',
      ),
    ];
  return [ok('agent', says)];
}

const isRead = (facts: StorageFacts): facts is StorageFacts & { readonly sizeBytes: number } =>
  facts.sizeBytes !== undefined && facts.fault === '';

function storage(
  disks: readonly DiskFacts[],
  {
    storage: both,
    places,
    unopened,
    destination,
  }: Pick<QemusAsked, 'storage' | 'places' | 'unopened' | 'destination'>,
): readonly Finding[] {
  const reasons = new Map(unopened.map(({ place, reason }) => [locationOf(place), reason]));
  const onlyOpened = notComparable(places).filter((place) => !reasons.has(locationOf(place)));
  // What cannot be read at all is said below.
  for (const there of both.destination) if (!isRead(there)) reasons.delete(there.place);
  const findings: Finding[] = [
    ...disksNotRead(disks, places).map(({ target, kind }) =>
      found(
        'note',
        `disk ${target}`.trim(),
        `the engine cannot read ${kind}: its pages come from memory`,
        'export it by NBD and name it with --storage (docs/engine.md)',
      ),
    ),
    ...disksNotTold(disks, places).map(({ kind }) =>
      found(
        'note',
        'disk',
        `${kind} has no serial number of its own, so that nobody knows which of the guest's disks it is: its pages come from memory`,
        "give it one (QEMU's serial=), or name it as the guest does: --storage vda=PLACE",
      ),
    ),
    ...[...reasons].map(([place, reason]) =>
      found(
        'note',
        `storage ${place}`,
        `the engine on ${destination.name} cannot read it: ${reason}; its pages come from memory`,
        'mount or export it there, readable for the user of QEMU, or export the disk by NBD and name that with --storage (docs/engine.md)',
      ),
    ),
    ...onlyOpened.map((place) =>
      found(
        'note',
        `storage ${place}`,
        'only the engine opens it: it is not compared before',
        `see on ${destination.name} that it is there and this VM's; each page from it is verified by content`,
      ),
    ),
  ];
  let usable = onlyOpened.length;
  for (const [index, here] of both.source.entries()) {
    const there = both.destination[index];
    const check = `storage ${here.place}`;
    if (there === undefined) continue;
    const isOpened = !reasons.has(here.place);
    if (!isRead(there))
      findings.push(
        found(
          'note',
          check,
          `${destination.name} cannot read it: ${there.fault}`,
          'mount or export it there, readable for the user of QEMU',
        ),
      );
    else if (here.fault !== '' && there.hashes.length > 0 && disks.some(({ place }) => place === here.place))
      findings.push(
        found(
          'fault',
          check,
          `cannot be read here, so it is not known whether it is the same there: ${here.fault}`,
          'let the user of QEMU read it on both hosts; this path would be another disk if it is not shared',
        ),
      );
    else if (here.fault !== '') {
      if (isOpened) usable += 1;
      findings.push(
        found(
          'note',
          check,
          `cannot be read here, and so not be compared: ${here.fault}`,
          "make sure that it is this VM's disk; each page from it is verified by content",
        ),
      );
    } else if (here.sizeBytes !== undefined && here.sizeBytes !== there.sizeBytes)
      findings.push(
        found(
          'fault',
          check,
          `has ${here.sizeBytes} bytes here and ${there.sizeBytes} there: not the same storage`,
          'give both hosts the same storage; this path would be another disk',
        ),
      );
    else if (here.inode !== '' && there.inode !== '' && here.inode !== there.inode)
      findings.push(
        found(
          'fault',
          check,
          `is another file there (inode ${here.inode} here, ${there.inode} there), maybe a copy: not the same storage`,
          'mount the same storage on both hosts; this path would be another disk',
        ),
      );
    else if (!sameContent(here, there))
      findings.push(
        found(
          'fault',
          check,
          'has other content there: not the same storage',
          'give both hosts the same storage; this path would be another disk',
        ),
      );
    else {
      if (!isOpened) continue;
      usable += 1;
      findings.push(ok(check, `the same on both hosts, ${gibibytes(there.sizeBytes)}`));
    }
  }
  if (usable === 0)
    findings.push(
      found(
        'no-engine',
        'storage',
        'no disk of the VM is on storage that both hosts read',
        'put its image on shared storage, or name it with --storage',
      ),
    );
  return findings;
}

/** The guest may have thousands of file systems. */
const maxShownNames = 4;

/** Whether there is a place for what the guest's list names. */
function listed({ sources = [] }: AgentFacts, places: readonly string[]): readonly Finding[] {
  const names = sourcesWithoutPlace(sources, places);
  const [one] = names;
  if (one === undefined) return [];
  const shown = names.slice(0, maxShownNames).map((name) => `"${name}"`);
  const more = names.length > shown.length ? ` and ${names.length - shown.length} more` : '';
  const isAll = names.length === sourcesWithoutPlace(sources, []).length;
  return [
    found(
      isAll ? 'no-engine' : 'note',
      'list',
      `the guest's pages lie on ${shown.join(', ')}${more}, which no --storage is for: they come from memory`,
      `give a place by that name: --storage '${one}=PLACE'`,
    ),
  ];
}

type Parts = Pick<StorageFacts, 'hashes' | 'hashesLater'>;

/** A guest writes meanwhile, so that some parts may differ; where most do, or one that nobody has written since, it is other storage. */
export function sameContent(here: Parts, there: Parts): boolean {
  const isSteady = ({ hashes, hashesLater }: Parts, part: number): boolean =>
    hashesLater !== undefined && hashesLater[part] === hashes[part];
  const differing = [...here.hashes.keys()].filter((part) => here.hashes[part] !== there.hashes[part]);
  return (
    here.hashes.length === there.hashes.length &&
    differing.length * 2 <= here.hashes.length &&
    !differing.some((part) => isSteady(here, part) && isSteady(there, part))
  );
}

/** The check that others on their way can spoil. */
export const memoryCheck = 'memory';

function memory(
  { memoryBytes, currentMemoryBytes, hasHugePages }: DomainFacts,
  { name, availableBytes, freeHugePageBytes }: DestinationFacts,
  memoryUnderWayBytes: number,
): Finding {
  const others =
    memoryUnderWayBytes === 0 ? '' : `, of which ${gibibytes(memoryUnderWayBytes)} for others on their way`;
  const [freeBytes, kind] = hasHugePages ? [freeHugePageBytes, ' as huge pages'] : [availableBytes, ''];
  const says = `${name} has ${gibibytes(freeBytes)} free${kind}${others}, the domain takes ${gibibytes(memoryBytes)}`;
  const leftBytes = freeBytes - memoryUnderWayBytes;
  if (leftBytes >= memoryBytes) return ok(memoryCheck, says);
  if (!hasHugePages && currentMemoryBytes > 0 && leftBytes >= currentMemoryBytes)
    return found(
      'note',
      memoryCheck,
      `${says} at most, and ${gibibytes(currentMemoryBytes)} now`,
      'free memory there before its balloon gives it more',
    );
  return found(
    'fault',
    memoryCheck,
    says,
    hasHugePages
      ? 'choose another host, or set more huge pages aside there'
      : 'choose another host, or free memory there',
  );
}

function memoryBlocks({ memoryParts }: DomainFacts): readonly Finding[] {
  return memoryParts === 0
    ? []
    : [
        ok(
          'memory blocks',
          `${memoryParts}: QEMU is asked where each lies, which marks the domain as tainted in libvirt's log`,
        ),
      ];
}

function port({
  address,
  reachability,
  destination,
  source,
}: Pick<QemusAsked, 'address' | 'reachability' | 'destination' | 'source'>): Finding {
  const check = 'migration port';
  if (destination.port === 0)
    return found(
      'no-engine',
      check,
      `${destination.name} has no free port from there on`,
      'name a lower one with --port',
    );
  const place = `${address}:${destination.port}`;
  switch (reachability.is) {
    case 'refused':
      return ok(check, `${source.name} reaches ${place}`);
    case 'open':
      return found(
        'no-engine',
        check,
        `what answers at ${place} is not on ${destination.name}`,
        'name its address in the migration network with --to-address',
      );
    case 'silent':
      return found(
        'no-engine',
        check,
        `${source.name} gets no answer from ${place}`,
        'open the port in the firewall (--port), or name another address with --to-address',
      );
    case 'unknown-host':
      return found(
        'no-engine',
        check,
        `${source.name} does not know the host ${address}`,
        'name its address in the migration network with --to-address',
      );
  }
}

function clock({ clockDifferenceMs }: Pick<Asked, 'clockDifferenceMs'>): Finding {
  const differenceMs = Math.abs(clockDifferenceMs);
  return differenceMs <= maxClockDifferenceMs
    ? ok('clocks', 'agree')
    : found(
        'note',
        'clocks',
        `differ by ${(differenceMs / 1000).toFixed(0)} s`,
        'let both hosts set their clocks by NTP',
      );
}

function labels({ confined }: DomainFacts): readonly Finding[] {
  return confined
    ? [
        found(
          'note',
          'confinement',
          'AppArmor or SELinux confines QEMU: whether it may use the socket is seen when it connects',
          'allow QEMU /var/lib/libvirt/qemu/poolshift-*.sock',
        ),
      ]
    : [];
}

function link({ interfaceBitsPerSecond }: DomainFacts): readonly Finding[] {
  return interfaceBitsPerSecond > 0
    ? [
        ok(
          'link',
          `the interface says ${megabitsPerSecond(interfaceBitsPerSecond)}; --available-switchover-bandwidth says it better where the way is slower`,
        ),
      ]
    : [
        found(
          'note',
          'link',
          'the rate of the migration link is not known',
          'give it with --available-switchover-bandwidth, in MiB/s',
        ),
      ];
}

/** The first with switchover-ack: one before goes over to post-copy as soon as it is told, and then does not come back. */
const firstForResume = '8.1';

/** Of the method alone. @param versions of QEMU at the source and at the destination; empty where there is none. Pure. */
export function methodFindings(
  method: Method,
  versions: readonly [source: string, destination: string],
): readonly Finding[] {
  const old = versions.find(
    (version) => version !== '' && version.localeCompare(firstForResume, 'en', { numeric: true }) < 0,
  );
  if (method !== 'resume' || old === undefined) return [];
  return [
    found(
      'no-engine',
      'method',
      `QEMU ${old}: --method resume takes ${firstForResume} or newer on both hosts`,
      'take --method balance, or upgrade QEMU',
    ),
  ];
}

/** virsh of this machine, which carries the migration out. Pure. */
export function virshFindings(
  unreached: readonly { readonly uri: string; readonly says: string }[],
): readonly Finding[] {
  return unreached.map(({ uri, says }) =>
    found(
      'fault',
      'virsh',
      `does not reach ${uri} from here: ${says}`,
      'run as root, or as a member of the group libvirt on that host',
    ),
  );
}

/** Whether a migration of that method may begin. */
export function hinders(findings: readonly Finding[], method: Method): readonly Finding[] {
  return findings.filter(({ level }) => level === 'fault' || (level === 'no-engine' && method !== 'plain'));
}

/** Whether plain libvirt, or QEMU alone, would go where the engines do not. */
export const plainHelps = (hindered: readonly Finding[]): boolean =>
  hindered.every(({ level }) => level === 'no-engine');

const marks: Readonly<Record<Finding['level'], string>> = {
  ok: 'ok',
  note: 'note',
  'no-engine': 'NO',
  fault: 'NO',
};

/** A line for each, and one for what mends it. */
export function findingLines(findings: readonly Finding[]): readonly string[] {
  return findings.flatMap(({ check, level, says, fix }) => [
    `${marks[level].padEnd(5)} ${check}: ${says}`,
    ...(level === 'ok' || fix === undefined ? [] : [`      ${fix}`]),
  ]);
}
