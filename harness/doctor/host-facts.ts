/** What a machine says of itself: one shell script, whose answer is lines of a word and a value. */
import { z } from 'zod';
import { type Host, type HostName, type Testbed, hostFolder } from '../testbed/host.ts';
import { quote } from '../../foundation/shell.ts';
import { bridgeName, interfaceFunctions, obstaclesScript } from '../vm/vm-host.ts';
import { vmPlaces } from '../vm/vm-place.ts';

export interface Listener {
  /** As `ss` writes it: "0.0.0.0", "*", "[::]", "10.10.0.2". */
  readonly address: string;
  readonly port: number;
  readonly program: string;
}

export interface HostFacts {
  readonly userId: number;
  /** "x86_64". */
  readonly machine: string;
  readonly system: string;
  readonly memoryAvailableBytes: number;
  readonly sharedMemoryAvailableBytes: number;
  readonly disk: { readonly device: string; readonly availableBytes: number };
  /** Of the exported folder, on the nfs host; undefined where there is none. */
  readonly exported: { readonly device: string; readonly availableBytes: number } | undefined;
  /** Those of the wanted programs that are not there. */
  readonly missingPrograms: readonly string[];
  /** First line of `--version`, or what was said instead. */
  readonly qemu: string;
  readonly interfaces: readonly { readonly name: string; readonly address: string }[];
  /** Why the service interface of a VM host cannot be a port of the testbed's bridge, in words. */
  readonly bridgeObstacles: readonly string[];
  readonly listeners: readonly Listener[];
  /** What a run leaves behind when its harness is killed, or has while it goes on: "psbr0", "poolshift-vm". */
  readonly leftovers: readonly string[];
}

interface Questions {
  readonly programs: readonly string[];
  readonly qemuBinary: string | undefined;
  readonly exportPath: string | undefined;
  /** Of a VM host. */
  readonly serviceInterface: string | undefined;
}

/** @throws CodedError 'host' */
export async function askHost(
  host: Host,
  { exportPath, networks }: Pick<Testbed, 'exportPath' | 'networks'>,
  programs: readonly string[],
): Promise<HostFacts> {
  const runsVms = host.name === 'src' || host.name === 'dst';
  const { stdout } = await host.run(
    factsScript({
      programs,
      qemuBinary: runsVms ? host.qemuBinary : undefined,
      exportPath: host.name === 'nfs' ? exportPath : undefined,
      serviceInterface: runsVms ? networks.service.interfaces[host.name] : undefined,
    }),
  );
  return parseFacts(stdout);
}

/** Never fails: what is not there is a fact. */
export function factsScript({ programs, qemuBinary, exportPath, serviceInterface }: Questions): string {
  return `free() {
  at=$1
  while [ ! -d "$at" ]; do at=$(dirname "$at"); done
  df --output=source,avail -B1 "$at" | tail -n 1
}
echo "user $(id -u)"
echo "machine $(uname -m)"
echo "system $(. /etc/os-release; echo "$PRETTY_NAME"), Linux $(uname -r)"
awk '/^MemAvailable:/ {printf "memory %d\\n", $2 * 1024}' /proc/meminfo
echo "shared-memory $(free /dev/shm)"
echo "disk $(free ${hostFolder})"
${exportPath === undefined ? '' : `[ -d ${quote(exportPath)} ] && echo "export $(free ${quote(exportPath)})"`}
for program in ${programs.join(' ')}; do command -v $program > /dev/null || echo "missing $program"; done
${qemuBinary === undefined ? '' : `echo "qemu $(${quote(qemuBinary)} --version 2>&1 | head -n 1)"`}
ip -4 -o addr show | awk '{print "address " $2, $4}'
${serviceInterface === undefined ? '' : `{ ${obstaclesScript(serviceInterface)}} | sed 's/^/bridge-obstacle /'`}
ss -Hltnp | awk '{print "listener " $4, $6}'
${interfaceFunctions}
! own ${bridgeName} || echo "leftover ${bridgeName}"
for unit in ${vmPlaces.map(({ unit }) => unit).join(' ')}; do
  [ "$(systemctl is-active $unit 2> /dev/null)" != active ] || echo "leftover $unit"
done
`;
}

const integer = z.coerce.number().int().nonnegative();
/** A device and its free bytes. */
const space = z
  .string()
  .transform((text) => {
    const [device = '', available] = text.trim().split(/\s+/);
    return { device, availableBytes: Number(available) };
  })
  .pipe(z.object({ device: z.string(), availableBytes: z.int().nonnegative() }));

const schema = z.object({
  user: integer,
  machine: z.string(),
  system: z.string(),
  memory: integer,
  'shared-memory': space,
  disk: space,
  export: space.optional(),
  qemu: z.string().default(''),
});

/** @throws ZodError where the machine's answer has not what every Linux machine says */
export function parseFacts(output: string): HostFacts {
  const values = new Map<string, string[]>();
  for (const line of output.split('\n')) {
    const [, word, value] = /^(\S+) (.*)$/.exec(line) ?? [];
    if (word === undefined || value === undefined) continue;
    values.set(word, [...(values.get(word) ?? []), value]);
  }
  const all = (word: string): readonly string[] => values.get(word) ?? [];
  const single = schema.parse(Object.fromEntries([...values].map(([word, [first]]) => [word, first])));
  return {
    userId: single.user,
    machine: single.machine,
    system: single.system,
    memoryAvailableBytes: single.memory,
    sharedMemoryAvailableBytes: single['shared-memory'].availableBytes,
    disk: single.disk,
    exported: single.export,
    missingPrograms: all('missing'),
    qemu: single.qemu,
    interfaces: all('address').map((text) => {
      const [name = '', address = ''] = text.split(/[ /]/);
      return { name, address };
    }),
    bridgeObstacles: all('bridge-obstacle'),
    listeners: all('listener').map((text) => {
      const [, address = '', port = '', program = ''] =
        /^(\S+):(\d+) ?(?:users:\(\("([^"]*)")?/.exec(text) ?? [];
      return { address, port: Number(port), program };
    }),
    leftovers: all('leftover'),
  };
}

/** Programs that a machine must have, by its role, with the Debian package of each. */
export function neededPrograms(host: HostName, mounted: boolean): Readonly<Record<string, string>> {
  const common = {
    ip: 'iproute2',
    ss: 'iproute2',
    tc: 'iproute2',
    ping: 'iputils-ping',
    iperf3: 'iperf3',
    flock: 'util-linux',
    setsid: 'util-linux',
    tar: 'tar',
  };
  const vmHost = {
    ...common,
    'systemd-run': 'systemd',
    socat: 'socat',
    setpriv: 'util-linux',
    'qemu-io': 'qemu-utils',
  };
  switch (host) {
    case 'src':
      return vmHost;
    case 'dst':
      return mounted ? vmHost : { ...vmHost, 'qemu-storage-daemon': 'qemu-utils' };
    case 'nfs':
      return common;
    case 'client':
      return {
        ...common,
        sysbench: 'sysbench',
        fping: 'fping',
        mariadb: 'mariadb-client-core',
        psql: 'postgresql-client',
        haproxy: 'haproxy',
        socat: 'socat',
      };
  }
}
