/** Judges what one machine says of itself. Pure. */
import { gibibytes } from '../../foundation/quantity.ts';
import type { Configuration } from '../../experiments/configuration.ts';
import { type HostName, type Testbed, networkNames } from '../testbed/host.ts';
import type { Mem } from '../../experiments/paper-rows.ts';
import { obstacleFix } from '../vm/vm-host.ts';
import { type Finding, verdict } from './finding.ts';
import { type HostFacts, type Listener, neededPrograms } from './host-facts.ts';
import { type HostNeeds, hostNeeds } from './needs.ts';

/** A memory row that is wanted, as it would run. */
export interface WantedRow {
  readonly mem: Mem;
  readonly configuration: Configuration;
}

export interface HostExpectations {
  readonly host: HostName;
  readonly networks: Testbed['networks'];
  readonly mounted: boolean;
  readonly rows: readonly WantedRow[];
}

/** QEMU 7.2 loses guest writes while it migrates under TCG; 9.0 is the oldest whose command line fits (qemu-arguments.ts). */
const minQemuMajor = 9;

const provisionRoles: Readonly<Record<HostName, string>> = {
  src: 'host',
  dst: 'host',
  nfs: 'nfs',
  client: 'client',
};

const provision = (host: HostName): string => `bash vagrant/provision.sh ${provisionRoles[host]}`;

export function judgeHost(facts: HostFacts, expectations: HostExpectations): readonly Finding[] {
  const runsVms = expectations.host === 'src' || expectations.host === 'dst';
  return [
    judgeSystem(facts, expectations),
    judgePrograms(facts, expectations),
    ...(runsVms ? [judgeQemu(facts, expectations)] : []),
    judgeInterfaces(facts, expectations),
    ...(runsVms ? [judgeBridge(facts, expectations)] : []),
    ...judgeLeftovers(facts, expectations),
    ...judgePorts(facts, expectations),
    judgeMemory(facts, expectations),
    judgeDisk(facts, expectations),
  ];
}

function judgeSystem(facts: HostFacts, { host }: HostExpectations): Finding {
  const found = `${facts.system} on ${facts.machine}`;
  return verdict(
    'system',
    [host],
    found,
    facts.machine === 'x86_64'
      ? undefined
      : {
          status: 'problem',
          fix: 'x86-64 machines are needed: the guest and the programs are made for them',
        },
  );
}

function judgePrograms({ missingPrograms }: HostFacts, { host, mounted }: HostExpectations): Finding {
  const needed = neededPrograms(host, mounted);
  if (missingPrograms.length === 0)
    return verdict('programs', [host], `all ${Object.keys(needed).length} are there`);
  const packages = [...new Set(missingPrograms.map((program) => needed[program] ?? program))];
  return verdict('programs', [host], `missing: ${missingPrograms.join(', ')}`, {
    status: 'problem',
    fix: `${provision(host)} on it, or on Debian: apt-get install ${packages.join(' ')}`,
  });
}

/** Version of a `qemu-system-x86_64 --version`, as numbers. */
function qemuVersion(text: string): readonly [major: number, minor: number] | undefined {
  const [, major, minor] = /^QEMU emulator version (\d+)\.(\d+)/.exec(text) ?? [];
  return major === undefined || minor === undefined ? undefined : [Number(major), Number(minor)];
}

function judgeQemu({ qemu }: HostFacts, { host }: HostExpectations): Finding {
  const version = qemuVersion(qemu);
  if (version === undefined)
    return verdict('QEMU', [host], qemu === '' ? 'does not run' : qemu, {
      status: 'problem',
      fix: `${provision(host)} on it, or name QEMU's path as hosts.${host}.qemu in the inventory`,
    });
  const found = qemu.replace(/^QEMU emulator version /, '');
  if (version[0] >= minQemuMajor) return verdict('QEMU', [host], found);
  return verdict('QEMU', [host], found, {
    status: 'problem',
    fix: `QEMU ${minQemuMajor}.0 or newer is needed (Debian 13 has 10.0); name its path as hosts.${host}.qemu`,
  });
}

/** A VM may go to a newer QEMU but not to an older one, and figures of a pair that differs are of that pair alone. */
export function judgeQemuPair(src: HostFacts, dst: HostFacts): Finding {
  if (src.qemu === dst.qemu) return verdict('QEMU', ['src', 'dst'], 'the same on both');
  return verdict('QEMU', ['src', 'dst'], `${src.qemu}; ${dst.qemu}`, {
    status: 'warning',
    fix: 'install the same version on both: a migration to an older QEMU may be refused',
  });
}

function judgeInterfaces(facts: HostFacts, { host, networks }: HostExpectations): Finding {
  const wrong = networkNames.flatMap((network) => {
    const name = networks[network].interfaces[host];
    const address = networks[network].addresses[host];
    const holder = facts.interfaces.find((known) => known.address === address);
    // A run has the service interface's addresses on its bridge; so does one that was killed, which is said by itself.
    if (holder?.name === name || facts.leftovers.includes(holder?.name ?? '')) return [];
    return [
      holder === undefined
        ? `${address} (${network}) is on no interface`
        : `${address} (${network}) is on ${holder.name}, not on ${name}`,
    ];
  });
  if (wrong.length > 0)
    return verdict('addresses', [host], wrong.join('; '), {
      status: 'problem',
      fix: `correct hosts.${host}.networks in the inventory, or the machine's configuration`,
    });
  return verdict('addresses', [host], 'all three are where the inventory says');
}

function judgeBridge({ bridgeObstacles }: HostFacts, { host, networks }: HostExpectations): Finding {
  const service = networks.service.interfaces[host];
  return bridgeObstacles.length === 0
    ? verdict('bridge', [host], `${service} (service) can be a port of one`)
    : verdict('bridge', [host], bridgeObstacles.join('; '), { status: 'problem', fix: obstacleFix });
}

function judgeLeftovers({ leftovers }: HostFacts, { host }: HostExpectations): readonly Finding[] {
  if (leftovers.length === 0) return [];
  return [
    verdict('leftovers', [host], `there: ${leftovers.join(', ')}`, {
      status: 'warning',
      fix: `a run is in progress, was kept, or was killed; if none is in progress: systemctl stop poolshift-vm (the next run takes the bridge over and removes it)`,
    }),
  ];
}

/** Ports that a run listens at, each with its host and network. */
const neededPorts = [
  { host: 'dst', network: 'migration', port: 4444, use: 'migration' },
  { host: 'src', network: 'migration', port: 4445, use: '--verify-ram' },
  { host: 'dst', network: 'migration', port: 5201, use: 'iperf3' },
  { host: 'dst', network: 'storage', port: 5201, use: 'iperf3' },
] as const;

const wildcards = new Set(['0.0.0.0', '*', '[::]']);

function judgePorts({ listeners }: HostFacts, { host, networks }: HostExpectations): readonly Finding[] {
  const wanted = neededPorts.filter((port) => port.host === host);
  if (wanted.length === 0) return [];
  const takenBy = (port: number, address: string): Listener | undefined =>
    listeners.find(
      (listener) =>
        listener.port === port && (wildcards.has(listener.address) || listener.address === address),
    );
  const taken = wanted.flatMap(({ network, port, use }) => {
    const listener = takenBy(port, networks[network].addresses[host]);
    return listener === undefined ? [] : [`${port} (${use}) by ${listener.program || 'some program'}`];
  });
  const ports = [...new Set(wanted.map(({ port }) => port))].join(', ');
  return [
    taken.length === 0
      ? verdict('ports', [host], `free: ${ports}`)
      : verdict('ports', [host], `taken: ${[...new Set(taken)].join(', ')}`, {
          status: 'problem',
          fix: 'stop that program while experiments run',
        }),
  ];
}

/** The largest wanted row that still fits is what somebody can do at once. */
function judgeRoom(
  check: string,
  host: HostName,
  rows: readonly WantedRow[],
  free: string,
  shortage: (needs: HostNeeds) => string | undefined,
): Finding {
  const short = rows.flatMap(({ mem, configuration }) => {
    const lack = shortage(hostNeeds(configuration, host));
    return lack === undefined ? [] : [{ mem, lack }];
  });
  const worst = short.at(-1);
  if (worst === undefined)
    return verdict(check, [host], `${free}, enough for --mem ${rows.map(({ mem }) => mem).join(' ')}`);
  const fits = rows.filter(({ mem }) => !short.some((row) => row.mem === mem)).map(({ mem }) => mem);
  return verdict(check, [host], `${free}, but --mem ${worst.mem} needs ${worst.lack}`, {
    status: 'problem',
    fix: `make room, or use ${fits.length === 0 ? 'a smaller row or a larger --scale' : `--mem ${fits.join(' ')}`}`,
  });
}

function judgeMemory(facts: HostFacts, { host, rows }: HostExpectations): Finding {
  const { memoryAvailableBytes: free, sharedMemoryAvailableBytes: freeShared } = facts;
  return judgeRoom('memory', host, rows, `${gibibytes(free)} are free`, (needs) =>
    needs.memoryBytes > free
      ? gibibytes(needs.memoryBytes)
      : needs.sharedMemoryBytes > freeShared
        ? `${gibibytes(needs.sharedMemoryBytes)} in /dev/shm, which has ${gibibytes(freeShared)} (mount -o remount,size=… /dev/shm)`
        : undefined,
  );
}

function judgeDisk(facts: HostFacts, { host, rows }: HostExpectations): Finding {
  const { disk, exported } = facts;
  if (host === 'nfs' && exported === undefined)
    return verdict('disk', [host], 'the exported folder is not there', {
      status: 'problem',
      fix: 'make the folder that nfs.export names, and export it, or correct the inventory',
    });
  const free = `${gibibytes(disk.availableBytes)} are free in /var/lib/poolshift${exported === undefined ? '' : `, ${gibibytes(exported.availableBytes)} in the export`}`;
  return judgeRoom('disk', host, rows, free, ({ diskBytes, exportBytes }) => {
    const [folder, inAll] =
      exported?.device === disk.device
        ? ['in all', diskBytes + exportBytes]
        : ['in /var/lib/poolshift', diskBytes];
    if (inAll > disk.availableBytes) return `${gibibytes(inAll)} ${folder}`;
    return exportBytes > (exported?.availableBytes ?? Infinity)
      ? `${gibibytes(exportBytes)} in the export`
      : undefined;
  });
}
