/** What both hosts of a migration are asked before it, and what they answer. Nothing is changed by the questions. */
import { agentPortName } from '../engine/list/agent-protocol.ts';
import type { PageSource } from '../engine/list/page-list.ts';
import { isCoded } from '../foundation/coded-error.ts';
import { type OperatedHost } from './host.ts';
import { quote } from '../foundation/shell.ts';
import { unitOf } from './launch.ts';

/** A host, whatever it is in the migration. */
export interface HostFacts {
  readonly name: string;
  /** Empty where there is none, as in all texts here. */
  readonly libvirt: string;
  readonly qemu: string;
  /** SHA-256 of the engine's program. */
  readonly engine: string;
  readonly availableBytes: number;
  readonly hasSystemd: boolean;
}

export interface DiskFacts {
  /** The guest's name for it as far as libvirt knows; empty where QEMU alone was asked. */
  readonly target: string;
  readonly serial: string;
  /** raw, qcow2. */
  readonly format: string;
  /** As `--storage` takes it; undefined for what the engine cannot read by itself. */
  readonly place: string | undefined;
  /** What it is, in words, for messages. */
  readonly kind: string;
}

export interface AgentFacts {
  readonly answers: boolean;
  readonly says: string;
  readonly pagesListed?: number;
  /** Disks, and files of file systems that the guest mounts, on which the listed pages are. */
  readonly sources?: readonly PageSource[];
}

export interface DomainFacts extends DomainIdentity {
  /** libvirt's word: running, paused, shut off; empty where there is no such domain. */
  readonly state: string;
  readonly memoryBytes: number;
  readonly pid: number;
  /** User that QEMU runs as. */
  readonly user: string;
  /** The socket of the agent's port on the host; empty where the domain has no such port. */
  readonly agentSocket: string;
  /** Whether the guest's agent answers: its words, or why not. */
  readonly agent: AgentFacts;
  readonly disks: readonly DiskFacts[];
  /** NUMA cells and memory devices: more than one RAM block. */
  readonly memoryParts: number;
  /** What its balloon leaves it. */
  readonly currentMemoryBytes: number;
  readonly hasHugePages: boolean;
  /** Confined by AppArmor or SELinux. */
  readonly confined: boolean;
  /** Rate of the interface towards the destination in bits per second, as it says; 0 where it says none. */
  readonly interfaceBitsPerSecond: number;
}

export interface DestinationFacts extends HostFacts {
  /** Whether it has the user of the source's QEMU. */
  readonly hasUser: boolean;
  /** State of that domain there; empty where there is none. */
  readonly domainState: string;
  /** Another domain there has its name. */
  readonly nameIsTaken: boolean;
  /** First port from the wanted one on that nobody listens on; 0 where there is none. */
  readonly port: number;
  /** Set aside as huge pages, and not in use. */
  readonly freeHugePageBytes: number;
}

/** Of one place of storage on one host: its size and hashes of some parts, by which two hosts see whether it is the same. */
export interface StorageFacts {
  readonly place: string;
  readonly sizeBytes: number | undefined;
  readonly hashes: readonly string[];
  /** The same parts, read once more, where some differ between the hosts. */
  readonly hashesLater?: readonly string[];
  /** Of a file: which one of its file system. Empty where the file system gives each host inodes of its own. */
  readonly inode: string;
  /** Why it cannot be read. */
  readonly fault: string;
}

/** virsh takes a word for an id first, then for a uuid, then for a name: only a uuid is never another domain's. */
export interface DomainIdentity {
  readonly name: string;
  /** Empty where there is no such domain. */
  readonly uuid: string;
}

/** Values are base64, so that nothing in them is a line or a field. */
const say = `say() { printf '%s\\t%s\\n' "$1" "$(printf %s "$2" | base64 -w0)"; }
`;

/** Reads what scripts with `say` print; a name may come several times. */
export function parseFacts(text: string): ReadonlyMap<string, readonly string[]> {
  const facts = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [name = '', value] = line.split('\t');
    if (value === undefined) continue;
    facts.set(name, [...(facts.get(name) ?? []), Buffer.from(value, 'base64').toString('utf8').trim()]);
  }
  return facts;
}

const first = (facts: ReadonlyMap<string, readonly string[]>, name: string): string =>
  facts.get(name)?.[0] ?? '';

const hostScript = (engine: string): string => `${say}
say available "$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)"
say engine "$(sha256sum "$(command -v ${quote(engine)})" 2> /dev/null | cut -d' ' -f1)"
[ -d /run/systemd/system ] && say systemd yes
if command -v virsh > /dev/null; then
  version=$(virsh -q -c qemu:///system version --daemon 2> /dev/null)
  say libvirt "$(sed -n 's/^Running against daemon: //p' <<< "$version")"
  say qemu "$(sed -n 's/^Running hypervisor: QEMU //p' <<< "$version")"
fi
`;

function hostFactsOf(name: string, facts: ReadonlyMap<string, readonly string[]>): HostFacts {
  return {
    name,
    libvirt: first(facts, 'libvirt'),
    qemu: first(facts, 'qemu'),
    engine: first(facts, 'engine'),
    availableBytes: Number(first(facts, 'available')) * 1024,
    hasSystemd: first(facts, 'systemd') === 'yes',
  };
}

/** Of the socket in `$agent`. */
const agentScript = (engine: string): string =>
  `if answer=$(timeout 40 ${quote(engine)} list --agent "$agent" --agent-timeout 20 --json 2>&1); then say answer "$answer"; else say silent "$answer"; fi`;

const agentFactsOf = (facts: ReadonlyMap<string, readonly string[]>): AgentFacts =>
  facts.has('answer')
    ? { answers: true, ...agentSays(first(facts, 'answer')) }
    : { answers: false, says: first(facts, 'silent') };

/** Whether an agent answers at a socket of the host. @throws CodedError 'host' */
export async function askAgent(host: OperatedHost, engine: string, socket: string): Promise<AgentFacts> {
  const script = `${say}agent=${quote(socket)}\n${agentScript(engine)}`;
  return agentFactsOf(parseFacts(await host.run(script, { timeoutMs: 60_000 })));
}

/** @throws CodedError 'host' */
export async function askHost(host: OperatedHost, engine: string): Promise<HostFacts> {
  return hostFactsOf(host.name, parseFacts(await host.run(`${hostScript(engine)}true`)));
}

/** Sets `uuid` and `name` of the domain that has this name; else of the one that virsh takes the word for. */
const identityScript = (word: string): string => `word=${quote(word)}
v() { virsh -q -c qemu:///system "$@" 2> /dev/null; }
uuid=$(v list --all --uuid --name | while read -r one name; do [ "$name" = "$word" ] && echo "$one"; done)
[ -n "$uuid" ] || uuid=$(v domuuid -- "$word")
[ -n "$uuid" ] && name=$(v domname "$uuid") || name=$word
`;

/** @returns with an empty uuid where the host has no such domain @throws CodedError 'host' */
export async function askIdentity(host: OperatedHost, word: string): Promise<DomainIdentity> {
  const script = `${say}${identityScript(word)}say uuid "$uuid"; say name "$name"`;
  const facts = parseFacts(await host.run(script));
  return { name: first(facts, 'name'), uuid: first(facts, 'uuid') };
}

/** @throws CodedError 'host' */
export async function askSource(
  host: OperatedHost,
  { domain, engine, towards }: { readonly domain: string; readonly engine: string; readonly towards: string },
): Promise<{ readonly host: HostFacts; readonly domain: DomainFacts }> {
  const script = `${hostScript(engine)}
${identityScript(domain)}x() { v dumpxml "$uuid" --xpath "$1"; }
attribute() { x "$1" | sed -n 's/^ *[a-z]*="\\(.*\\)"$/\\1/p' | sed 's/&quot;/"/g; s/&lt;/</g; s/&gt;/>/g; s/&amp;/\\&/g'; }
say uuid "$uuid"
say name "$name"
say state "$(v domstate "$uuid")"
say memory "$(x '/domain/memory/text()')"
say current "$(x '/domain/currentMemory/text()')"
say huge "$(x '//memoryBacking/hugepages')"
say parts "$(( $(x '//cpu/numa/cell' | grep -c '<cell') + $(x '//devices/memory' | grep -c '<memory') ))"
say confined "$(x '/domain/seclabel[@type="dynamic" and (@model="apparmor" or @model="selinux")]/@model')"
pid=$(cat /run/libvirt/qemu/"$name".pid 2> /dev/null) && { say pid "$pid"; say user "$(stat -c %U /proc/"$pid" 2> /dev/null)"; }
agent=$(attribute '//channel[target/@name="${agentPortName}"]/source/@path')
say agent "$agent"
# libvirt knows whether anything in the guest has the port open: an agent that is not there is not waited for.
if [ "$(attribute '//channel[target/@name="${agentPortName}"]/target/@state')" = disconnected ]; then
  say silent "nothing in the guest has opened the channel"
elif [ -n "$agent" ]; then
  ${agentScript(engine)}
fi
v domblklist "$uuid" --details | awk '$2 == "disk" { print $3 }' | while read -r target; do
  disk="//disk[target/@dev=\\"$target\\"]"
  say disk "$target"
  for part in @type source/@file source/@dev source/@protocol source/@name source/host/@name serial/text\\(\\) driver/@type; do
    say "$target $part" "$(x "$disk/$part")"
  done
  pool=$(attribute "$disk/source/@pool")
  [ -n "$pool" ] && say "$target volume" "$(v vol-path --pool "$pool" -- "$(attribute "$disk/source/@volume")")"
done
interface=$(ip -o route get "$(getent ahosts ${quote(towards)} | awk 'NR == 1 { print $1 }')" 2> /dev/null | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')
say speed "$(cat "/sys/class/net/$interface/speed" 2> /dev/null)"
true`;
  const facts = parseFacts(await host.run(script, { timeoutMs: 120_000 }));
  const disks = (facts.get('disk') ?? []).map((target): DiskFacts => {
    const part = (name: string): string => attributeOrText(first(facts, `${target} ${name}`));
    return diskOf(target, {
      type: part('@type'),
      file: part('source/@file') || part('source/@dev') || first(facts, `${target} volume`),
      protocol: part('source/@protocol'),
      name: part('source/@name'),
      server: part('source/host/@name'),
      serial: part('serial/text()'),
      format: part('driver/@type'),
    });
  });
  return {
    host: hostFactsOf(host.name, facts),
    domain: {
      name: first(facts, 'name'),
      uuid: first(facts, 'uuid'),
      state: first(facts, 'state'),
      memoryBytes: Number(first(facts, 'memory')) * 1024,
      pid: Number(first(facts, 'pid')),
      user: first(facts, 'user'),
      agentSocket: first(facts, 'agent'),
      agent: agentFactsOf(facts),
      disks,
      memoryParts: Number(first(facts, 'parts')),
      currentMemoryBytes: Number(first(facts, 'current')) * 1024,
      hasHugePages: first(facts, 'huge') !== '',
      confined: first(facts, 'confined') !== '',
      interfaceBitsPerSecond: Math.max(0, Number(first(facts, 'speed'))) * 1e6,
    },
  };
}

const freePortScript = (port: number): string =>
  `port=${port}; while [ $port -le 65535 ] && ss -Hltn "sport = :$port" | grep -q .; do port=$((port + 1)); done; echo $((port > 65535 ? 0 : port))`;

/** The first port from the wanted one on that nobody listens on; 0 where there is none. @throws CodedError 'host' */
export async function askPort(host: OperatedHost, port: number): Promise<number> {
  return Number(await host.run(freePortScript(port)));
}

/** @throws CodedError 'host' */
export async function askDestination(
  host: OperatedHost,
  {
    domain: { name, uuid },
    engine,
    user,
    port,
  }: {
    readonly domain: DomainIdentity;
    readonly engine: string;
    readonly user: string;
    readonly port: number;
  },
): Promise<DestinationFacts> {
  const script = `${hostScript(engine)}
say state "$(virsh -q -c qemu:///system domstate -- ${quote(uuid)} 2> /dev/null)"
virsh -q -c qemu:///system list --all --uuid --name 2> /dev/null | while read -r one name; do
  [ "$name" = ${quote(name)} ] && [ "$one" != ${quote(uuid)} ] && say taken yes
done
id -u -- ${quote(user)} > /dev/null 2>&1 && say user yes
say port "$(${freePortScript(port)})"
say huge "$(for pool in /sys/kernel/mm/hugepages/*; do size=\${pool##*-}; echo "\${size%kB} $(cat "$pool"/free_hugepages)"; done 2> /dev/null | awk '{ free += $1 * $2 } END { print free + 0 }')"
true`;
  const facts = parseFacts(await host.run(script, { timeoutMs: 60_000 }));
  return {
    ...hostFactsOf(host.name, facts),
    hasUser: user === '' || first(facts, 'user') === 'yes',
    domainState: first(facts, 'state'),
    nameIsTaken: first(facts, 'taken') === 'yes',
    port: Number(first(facts, 'port')),
    freeHugePageBytes: Number(first(facts, 'huge')) * 1024,
  };
}

/** Engines of an earlier migration of a VM that are still there. @throws CodedError 'host' */
export async function askUnitsLeft(
  hosts: { readonly source: OperatedHost; readonly destination: OperatedHost },
  vm: string,
): Promise<readonly { readonly host: string; readonly unit: string }[]> {
  const left = await Promise.all(
    (['source', 'destination'] as const).map(async (role) => {
      const unit = unitOf(role, vm);
      const isActive = await hosts[role].run(
        `systemctl is-active --quiet ${quote(unit)} 2> /dev/null && echo yes || true`,
      );
      return isActive === 'yes' ? [{ host: hosts[role].name, unit }] : [];
    }),
  );
  return left.flat();
}

/** By how many ms a host's clock is ahead of this machine's. @throws CodedError 'host' */
export async function askClock(host: OperatedHost): Promise<number> {
  // The first connection takes its time.
  await host.run('true');
  const beforeMs = Date.now();
  const hostMs = Number(await host.run('date +%s%3N'));
  return hostMs - (beforeMs + Date.now()) / 2;
}

/** Parts of a disk that are compared, and their length. */
const samples = 16;
const sampleBytes = 65536;

/** What runs a command of a script as that user; nothing for root. */
export const asUser = (user: string): string =>
  user === '' || user === 'root'
    ? ''
    : `setpriv --reuid ${quote(user)} --regid "$(id -g ${quote(user)})" --clear-groups `;

/**
 * Reads some parts of each place, as the user who will read it, past the page cache.
 *
 * @param spans bytes that the parts are taken from, of places where these are not all
 * @throws CodedError 'host'
 */
export async function askStorage(
  host: OperatedHost,
  places: readonly string[],
  user: string,
  timeoutMs = 120_000,
  spans: ReadonlyMap<string, number> = new Map(),
): Promise<readonly StorageFacts[]> {
  const script = `${say}
nothing=$(sha256sum < /dev/null)
read_part() { ${asUser(user)}timeout 20 dd if="$1" bs=${sampleBytes} count=1 skip="$2" "\${@:3}" 2> /dev/null | sha256sum; }
sample() {
  case $1 in
    nfs://*)
      info=$(${asUser(user)}timeout 20 qemu-img info -U --output=json "$1" 2>&1) || { say "fault $1" "$info"; return; }
      say "size $1" "$(sed -n 's/^ *"virtual-size": \\([0-9]*\\).*/\\1/p' <<< "$info" | tail -n 1)" ;;
    *)
      ${asUser(user)}test -r "$1" || { say "fault $1" "$(ls -ld "$1" 2>&1 | tail -n 1)"; return; }
      size=$(blockdev --getsize64 "$1" 2> /dev/null || stat -Lc %s "$1")
      say "size $1" "$size"
      [ -f "$1" ] && say "inode $1" "$(stat -Lf -c %T -- "$1") $(stat -Lc %i -- "$1")"
      for part in $(seq 0 ${samples - 1}); do
        at=$((\${2:-$size} * part / ${samples} / ${sampleBytes}))
        hash=$(read_part "$1" $at iflag=direct)
        # Not every file system reads past the page cache.
        [ "$hash" = "$nothing" ] && hash=$(read_part "$1" $at)
        [ "$hash" = "$nothing" ] && { say "fault $1" "it cannot be read at byte $((at * ${sampleBytes}))"; return; }
        say "hash $1" "$hash"
      done ;;
  esac
}
${places.map((place) => `sample ${quote(place)} ${spans.get(place) ?? ''}`).join('\n')}
true`;
  let facts: ReturnType<typeof parseFacts>;
  try {
    facts = parseFacts(await host.run(script, { timeoutMs }));
  } catch (error) {
    // The host itself has answered before; a mount whose server is gone holds whoever reads it.
    if (!isCoded(error, 'host', 'timeout')) throw error;
    const fault = `its storage does not answer within ${timeoutMs / 1000} s`;
    return places.map((place) => ({ place, sizeBytes: undefined, hashes: [], inode: '', fault }));
  }
  return places.map((place) => {
    const size = Number(first(facts, `size ${place}`));
    return {
      place,
      sizeBytes: size > 0 ? size : undefined,
      hashes: facts.get(`hash ${place}`) ?? [],
      inode: inodeOf(first(facts, `inode ${place}`)),
      fault: first(facts, `fault ${place}`),
    };
  });
}

/** A place that the destination's engine cannot open, and why. */
export interface UnopenedPlace {
  readonly place: string;
  readonly reason: string;
}

/**
 * Has the engine open places as it will in the migration, as the user who will: a format that it does not read, or a backing file that is
 * not there, shows in nothing else.
 *
 * @returns those that it cannot open; none where the host has no engine
 * @throws CodedError 'host'
 */
export async function askOpening(
  host: OperatedHost,
  engine: string,
  places: readonly string[],
  user: string,
): Promise<readonly UnopenedPlace[]> {
  if (places.length === 0) return [];
  const said = await host.run(
    `${asUser(user)}timeout 60 ${quote(engine)} storage --json -- ${places.map(quote).join(' ')} 2> /dev/null || true`,
    { timeoutMs: 90_000 },
  );
  return said.split('\n').flatMap((line) => {
    if (!line.startsWith('{')) return [];
    const { event, source, reason } = JSON.parse(line) as Readonly<Record<string, string | undefined>>;
    return event === 'storage-unusable' ? [{ place: source ?? '', reason: reason ?? '' }] : [];
  });
}

/** File systems on which a file may have another inode on each host (stat(1), %T). */
const ownInodes = /fuse|cifs|smb|9p|unknown/i;

/** Of "nfs 4711". */
function inodeOf(text: string): string {
  const [fileSystem = '', inode = ''] = text.split(' ');
  return ownInodes.test(fileSystem) ? '' : inode;
}

type BothFacts = readonly [readonly StorageFacts[], readonly StorageFacts[]];

/**
 * The same places on both hosts; once more where sizes differ, as those of an image that grows do, or where some parts differ, which a
 * guest that writes meanwhile explains.
 *
 * @throws CodedError 'host'
 */
export async function askBothStorages(
  hosts: { readonly source: OperatedHost; readonly destination: OperatedHost },
  places: readonly string[],
  user: string,
): Promise<{ readonly source: readonly StorageFacts[]; readonly destination: readonly StorageFacts[] }> {
  const spans = new Map<string, number>();
  const ask = async (asked: readonly string[]): Promise<BothFacts> => {
    const answers = [hosts.source, hosts.destination].map((host) =>
      askStorage(host, asked, user, undefined, spans),
    );
    const [here = [], there = []] = await Promise.all(answers);
    return [here, there];
  };
  const atFirst = await ask(places);
  for (const [index, { place, sizeBytes: here }] of atFirst[0].entries()) {
    const there = atFirst[1][index]?.sizeBytes;
    if (here !== undefined && there !== undefined && here !== there) spans.set(place, Math.min(here, there));
  }
  const [source, destination] = spans.size === 0 ? atFirst : withGrown(atFirst, await ask([...spans.keys()]));
  const differing = places.filter((_, index) => {
    const [here, there] = [source[index]?.hashes ?? [], destination[index]?.hashes ?? []];
    return here.length === there.length && here.some((hash, part) => hash !== there[part]);
  });
  if (differing.length === 0) return { source, destination };
  const [sourceLater, destinationLater] = await ask(differing);
  const later = (first: readonly StorageFacts[], again: readonly StorageFacts[]): readonly StorageFacts[] =>
    first.map((one) => {
      const hashesLater = again.find(({ place }) => place === one.place)?.hashes;
      return hashesLater === undefined ? one : { ...one, hashesLater };
    });
  return { source: later(source, sourceLater), destination: later(destination, destinationLater) };
}

/**
 * A place that each host sees later at least as large as the other saw it before is one that grows, or whose size NFS had kept: what both
 * had is compared. The others are of different sizes.
 */
export function withGrown(atFirst: BothFacts, again: BothFacts): BothFacts {
  const of = (facts: readonly StorageFacts[], place: string): StorageFacts | undefined =>
    facts.find((one) => one.place === place);
  const seenBy = (host: 0 | 1): readonly StorageFacts[] =>
    atFirst[host].map((before, index) => {
      const later = of(again[host], before.place);
      const [other, otherLater] = [atFirst[1 - host]?.[index], of(again[1 - host] ?? [], before.place)];
      const commonBytes = Math.min(before.sizeBytes ?? NaN, other?.sizeBytes ?? NaN);
      const grows =
        (later?.sizeBytes ?? 0) >= (other?.sizeBytes ?? NaN) &&
        (otherLater?.sizeBytes ?? 0) >= (before.sizeBytes ?? NaN);
      return later !== undefined && grows ? { ...later, sizeBytes: commonBytes } : before;
    });
  return [seenBy(0), seenBy(1)];
}

/** How a port of the destination answers the source: nobody listens there yet, so that `refused` is what is wanted. */
export interface Reachability {
  readonly is: 'refused' | 'open' | 'silent' | 'unknown-host';
  /** The address, as the source resolves it. */
  readonly ip: string;
}

/** @throws CodedError 'host' */
export async function askReachability(
  host: OperatedHost,
  address: string,
  port: number,
): Promise<Reachability> {
  const script = `ip=$(getent ahosts ${quote(address)} | awk 'NR == 1 { print $1 }')
[ -n "$ip" ] || { echo unknown-host; exit; }
# A firewall that answers for the host, and a host to which no way leads, are no refusal of its own.
said=$(LC_ALL=C timeout 5 bash -c ': > /dev/tcp/$0/$1' "$ip" ${port} 2>&1) && { echo "open $ip"; exit; }
case $said in *'Connection refused'*) echo "refused $ip" ;; *) echo "silent $ip" ;; esac`;
  const [is = '', ip = ''] = (await host.run(script)).trim().split(' ');
  return { is: is === 'refused' || is === 'open' || is === 'unknown-host' ? is : 'silent', ip };
}

interface DiskParts {
  readonly type: string;
  readonly file: string;
  readonly protocol: string;
  readonly name: string;
  readonly server: string;
  readonly serial: string;
  readonly format: string;
}

/** A disk as libvirt has it (libvirt docs/formatdomain.rst, Hard drives). */
export function diskOf(target: string, parts: DiskParts): DiskFacts {
  const { type, file, protocol, name, server, serial, format } = parts;
  const common = { target, serial, format };
  if ((type === 'file' || type === 'block' || type === 'volume') && file.startsWith('/'))
    return { ...common, kind: `${type} ${file}`, place: file };
  if (type === 'network' && protocol === 'nfs' && name !== '' && server !== '') {
    const place = `nfs://${server}/${name.replace(/^\//, '').split('/').map(encodeURIComponent).join('/')}`;
    return { ...common, kind: place, place };
  }
  return { ...common, kind: `${type} ${protocol || file}`.trim(), place: undefined };
}

/** What virsh prints for an XPath: ` path="..."` for an attribute, else the text. */
export function attributeOrText(text: string): string {
  const match = /^\s*[\w:-]+="(.*)"\s*$/s.exec(text);
  return unescaped(match?.[1] ?? text);
}

const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

const unescaped = (text: string): string =>
  text.replaceAll(/&(amp|lt|gt|quot|apos);/g, (whole, name: string) => entities[name] ?? whole);

/** Of `poolshift-engine list --json`. Exported for tests. */
export function agentSays(json: string): Omit<AgentFacts, 'answers'> {
  try {
    const { pages, server, sources } = JSON.parse(json) as {
      pages: number;
      server: { product: string; version: string };
      sources: readonly PageSource[];
    };
    return { says: `${server.product} ${server.version} lists ${pages} pages`, pagesListed: pages, sources };
  } catch {
    return { says: json.slice(0, 200) };
  }
}
