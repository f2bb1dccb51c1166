/** `poolshift migrate DOMAIN DEST` and `check DOMAIN DEST`: a domain of libvirt. */
import { isCoded } from '../foundation/coded-error.ts';
import { bracketed } from '../foundation/endpoint.ts';
import { endAbandoned } from './abandoned.ts';
import { libvirtAddress } from './address.ts';
import {
  type Asked,
  channelXml,
  type Finding,
  hinders,
  judge,
  type Method,
  methodFindings,
  virshFindings,
} from './checks.ts';
import { enginesOf, type EnginePlan } from './engine-commands.ts';
import {
  asUser,
  askClock,
  askDestination,
  askIdentity,
  askOpening,
  askBothStorages,
  askReachability,
  askSource,
  askUnitsLeft,
  type DomainFacts,
} from './facts.ts';
import { migrationId, plainName } from './launch.ts';
import { OperatedHost, SshConnections, type WaitListener } from './host.ts';
import { quote } from '../foundation/shell.ts';
import { libvirtDriver, unreachedLibvirts, virshCanTellSwitchoverBandwidth } from './libvirt-driver.ts';
import type { Reporter } from './report.ts';
import { comparable, openable, placesOf } from './storage-places.ts';
import { ramFileOf, verificationOf } from './verification.ts';
import { runMigration } from './run-migration.ts';
import type { Summary } from './summary.ts';

/** What both commands are told. */
interface DomainOptions {
  /** libvirt of the source. */
  readonly connect: string;
  readonly engine: string;
  readonly storage: readonly string[];
  /** The destination in the migration network; default: the host of its URI. */
  readonly toAddress?: string;
  readonly port: number;
  readonly method: Method;
  /** Of others that move there at the same time. Default 0. */
  readonly memoryUnderWayBytes?: number;
}

export interface DomainMigrationOptions extends DomainOptions {
  readonly p2p?: true;
  readonly persistent?: true;
  readonly undefineSource?: true;
  readonly verify?: true;
  readonly bandwidth?: number;
  readonly availableSwitchoverBandwidth?: number;
  readonly maxDowntime?: number;
  readonly timeout?: number;
  /** Percent, with `resume`. */
  readonly beforeSwitch?: number;
  readonly tlsDir?: string;
  /** Of the migration link, where others migrate at the same time. Default 1. */
  readonly linkShare?: number;
}

/** QEMU's own folder: it exists on both hosts, and QEMU's user may use what is in it. */
export const socketFolder = '/var/lib/libvirt/qemu';
/** The same for every migration of a domain: libvirt has one path for both hosts. */
const socketOf = (domain: string): string => `${socketFolder}/poolshift-${plainName(domain)}.sock`;

interface Hosts {
  readonly source: OperatedHost;
  readonly destination: OperatedHost;
}

export async function withHosts<T>(
  connect: string,
  destinationUri: string,
  listener: WaitListener,
  body: (hosts: Hosts) => Promise<T>,
): Promise<T> {
  const addresses = { source: libvirtAddress(connect), destination: libvirtAddress(destinationUri) };
  const connections = SshConnections.open(listener);
  const hosts = {
    source: new OperatedHost(addresses.source.ssh, connections),
    destination: new OperatedHost(addresses.destination.ssh, connections),
  };
  try {
    return await body(hosts);
  } finally {
    await connections.close([hosts.source, hosts.destination]);
  }
}

/** @throws CodedError 'host' */
async function inspect(hosts: Hosts, domain: string, options: DomainOptions): Promise<Asked> {
  const { engine, port } = options;
  const address = options.toAddress ?? hosts.destination.ssh?.host ?? hosts.destination.name;
  const source = await askSource(hosts.source, { domain, engine, towards: address });
  const { user } = source.domain;
  const places = placesOf(source.domain.disks, options.storage);
  const clockDifferenceMs = (await askClock(hosts.destination)) - (await askClock(hosts.source));
  const [destination, storage, unopened] = await Promise.all([
    askDestination(hosts.destination, { domain: source.domain, engine, user, port }),
    askBothStorages(hosts, comparable(places), user),
    askOpening(hosts.destination, engine, openable(places), user),
  ]);
  return {
    source: source.host,
    domain: source.domain,
    destination,
    storage,
    unopened,
    unitsLeft: await askUnitsLeft(hosts, source.domain.name),
    clockDifferenceMs,
    address,
    reachability: await askReachability(hosts.source, address, destination.port),
    places,
    memoryUnderWayBytes: options.memoryUnderWayBytes ?? 0,
  };
}

const versionsOf = ({ source, destination }: Asked): readonly [string, string] => [
  source.qemu,
  destination.qemu,
];

/** A domain, and how large it is. */
export interface SurveyedDomain {
  readonly domain: string;
  /** 0 where no agent answers. */
  readonly pagesListed: number;
  readonly memoryBytes: number;
}

/**
 * The source's running domains.
 * @param asks is told of each before it is asked, since an agent that does not answer takes its time; those that it does not want are
 * taken for small
 * @throws CodedError 'host'
 */
export async function surveyDomains(
  destinationUri: string,
  options: DomainOptions,
  listener: WaitListener,
  asks: (domain: string) => boolean,
): Promise<readonly SurveyedDomain[]> {
  return withHosts(options.connect, destinationUri, listener, async (hosts) => {
    const towards = options.toAddress ?? hosts.destination.ssh?.host ?? hosts.destination.name;
    const running = await hosts.source.run('virsh -q -c qemu:///system list --name --state-running');
    const surveyed = [];
    for (const domain of running.split('\n').filter((name) => name !== '')) {
      if (!asks(domain)) {
        surveyed.push({ domain, pagesListed: 0, memoryBytes: 0 });
        continue;
      }
      surveyed.push(await survey(hosts.source, { domain, engine: options.engine, towards }));
    }
    return surveyed;
  });
}

/** A domain whose QEMU hangs costs its own migration alone, which says so. @throws CodedError 'host' where the host is not reached */
export async function survey(
  source: OperatedHost,
  asked: Parameters<typeof askSource>[1],
): Promise<SurveyedDomain> {
  const { domain } = asked;
  try {
    const { agent, memoryBytes } = (await askSource(source, asked)).domain;
    return { domain, pagesListed: agent.pagesListed ?? 0, memoryBytes };
  } catch (error) {
    if (!isCoded(error, 'host') || error.code === 'unreachable') throw error;
    return { domain, pagesListed: 0, memoryBytes: 0 };
  }
}

/**
 * `poolshift check`.
 * @param options `addChannel`: a domain without the agent's channel gets it before, now and for its next start
 * @returns what stands in the way of that method
 * @throws CodedError 'host', 'command'
 */
export async function checkDomain(
  domain: string,
  destinationUri: string,
  options: DomainOptions & { readonly addChannel?: true },
  reporter: Reporter,
): Promise<readonly Finding[]> {
  return withHosts(options.connect, destinationUri, reporter, async (hosts) => {
    let inspected = await inspect(hosts, domain, options);
    const { name, uuid, state, agentSocket } = inspected.domain;
    if (options.addChannel === true && state !== '' && agentSocket === '') {
      await addChannel(hosts.source, uuid);
      reporter.note(`${name} has the agent's channel now`);
      inspected = await inspect(hosts, domain, options);
    }
    const findings = [
      ...virshFindings(await unreachedLibvirts([options.connect, destinationUri])),
      ...judge(inspected),
      ...methodFindings(options.method, versionsOf(inspected)),
    ];
    reporter.findings(findings);
    return hinders(findings, options.method);
  });
}

/**
 * `poolshift migrate`.
 * @returns what stands in the way, and then nothing was started; or what came of it
 * @throws CodedError 'host', 'command'
 */
export async function migrateDomain(
  domain: string,
  destinationUri: string,
  options: DomainMigrationOptions,
  reporter: Reporter,
  onInterrupt: (listener: () => void) => void,
): Promise<{ readonly hindered: readonly Finding[] } | { readonly summary: Summary }> {
  const { method, connect } = options;
  const knowsBandwidth = await virshCanTellSwitchoverBandwidth();
  return withHosts(connect, destinationUri, reporter, async (hosts) => {
    const { name: vm } = await askIdentity(hosts.source, domain);
    await endAbandoned([hosts.source, hosts.destination], vm, reporter);
    const inspected = await inspect(hosts, domain, options);
    const findings = [
      ...virshFindings(await unreachedLibvirts([connect, destinationUri])),
      ...judge(inspected),
      ...methodFindings(method, versionsOf(inspected)),
      ...(await verifiable(hosts, inspected, options)),
    ];
    const hindered = hinders(findings, method);
    reporter.findings(hindered.length > 0 ? hindered : findings.filter(({ level }) => level === 'note'));
    if (hindered.length > 0) return { hindered };

    const { name, uuid } = inspected.domain;
    const id = migrationId(name);
    const socket = socketOf(name);
    const plan =
      method === 'plain' ? undefined : await enginePlan(hosts, inspected, { ...options, method }, id, socket);
    const early = method === 'resume';
    const canTellBandwidth =
      knowsBandwidth &&
      [inspected.source, inspected.destination].every(({ libvirt }) => takesBandwidth(libvirt));
    if (options.availableSwitchoverBandwidth !== undefined && (plan === undefined || !canTellBandwidth))
      reporter.note(
        plan === undefined
          ? '--available-switchover-bandwidth is left out: without engines QEMU knows its link by itself'
          : `--available-switchover-bandwidth is left out: virsh here, and libvirt on both hosts, take it from ${firstWithBandwidth} on`,
      );
    const link = early
      ? postcopyAlways.switchoverMibPerSecond
      : (options.availableSwitchoverBandwidth ?? switchoverMibPerSecond(inspected.domain));
    const switchover =
      link === undefined ? undefined : Math.max(1, Math.floor(link * (options.linkShare ?? 1)));
    const maxDowntimeMs = early ? postcopyAlways.maxDowntimeMs : options.maxDowntime;
    const migration = runMigration({
      id,
      vm: name,
      method,
      hosts,
      ...enginesOf(plan),
      driver: libvirtDriver({
        domain: uuid,
        sourceUri: connect,
        destinationUri,
        ...migrateUriOf(plan, options.toAddress),
        p2p: options.p2p === true,
        persistent: options.persistent === true,
        undefineSource: options.undefineSource === true,
        suspend: options.verify === true,
        ...(options.bandwidth === undefined ? {} : { bandwidthMibPerSecond: options.bandwidth }),
        ...(plan === undefined || switchover === undefined || !canTellBandwidth
          ? {}
          : { switchoverMibPerSecond: switchover }),
        ...(maxDowntimeMs === undefined ? {} : { maxDowntimeMs }),
        ...(early ? { early } : {}),
        ...(options.timeout === undefined ? {} : { timeoutSeconds: options.timeout }),
      }),
      ...(options.verify === true
        ? {
            verification: verificationOf({
              id,
              domain: inspected.domain,
              memoryBytes: inspected.domain.memoryBytes,
              hosts,
              destinationUri,
            }),
          }
        : {}),
      reporter,
      onInterrupt,
    });
    const summary = await migration.finally(async () => {
      // In doubt an engine may still be there, which has read it.
      if (plan?.memoryMap !== undefined)
        await hosts.source.run(`rm -f -- ${quote(plan.memoryMap)}`).catch(() => undefined);
    });
    return { summary };
  });
}

/** libvirt refuses what it does not know (include/libvirt/libvirt-domain.h, VIR_MIGRATE_PARAM_BANDWIDTH_AVAIL_SWITCHOVER). */
const firstWithBandwidth = '11.1';
const takesBandwidth = (libvirt: string): boolean =>
  libvirt.localeCompare(firstWithBandwidth, 'en', { numeric: true }) >= 0;

/** At these QEMU before 10.2 does not end as pre-copy unless less than a page is left. */
const postcopyAlways = { switchoverMibPerSecond: 1, maxDowntimeMs: 1 } as const;

/** A channel needs a controller, which libvirt does not add to a domain that runs. @throws CodedError 'host' with virsh's reason */
async function addChannel(host: OperatedHost, uuid: string): Promise<void> {
  await host.run(`set -eu
domain=${quote(uuid)}
v() { virsh -q -c qemu:///system "$@"; }
flags=--live
if v dominfo "$domain" | grep -q '^Persistent: *yes'; then flags='--live --config'; fi
attach() { v attach-device "$domain" /dev/stdin $flags <<< "$1"; }
if [ "$(v dumpxml "$domain" --xpath '//controller[@type="virtio-serial"]/@type')" = '' ]; then
  attach '<controller type="virtio-serial"/>'
fi
attach ${quote(channelXml)}`);
}

/** What --verify needs. @throws CodedError 'host' */
async function verifiable(
  { source }: Hosts,
  { domain: { name, memoryBytes, state } }: Asked,
  { verify }: DomainMigrationOptions,
): Promise<readonly Finding[]> {
  if (verify !== true || state !== 'running' || (await ramFileOf(source, name, memoryBytes)) !== undefined)
    return [];
  return [
    {
      check: 'verify',
      level: 'fault',
      says: 'the memory of the domain is no file: it is gone with its QEMU',
      fix: 'give it <memoryBacking> of one shared memfd (examples/domain.xml), or go without --verify',
    },
  ];
}

/** Without engines libvirt knows a way of its own, unless it was named one. */
function migrateUriOf(
  plan: EnginePlan | undefined,
  toAddress: string | undefined,
): { readonly migrateUri?: string } {
  if (plan !== undefined) return { migrateUri: `unix://${plan.outgoingSocket}` };
  if (toAddress === undefined) return {};
  return { migrateUri: `tcp://${bracketed(toAddress)}` };
}

/** What TCP leaves of an interface's rate. */
const payloadShare = 0.95;

/** QEMU's own estimate is how fast the engine reads (docs/engine.md, Use). */
export function switchoverMibPerSecond({
  interfaceBitsPerSecond,
}: Pick<DomainFacts, 'interfaceBitsPerSecond'>): number | undefined {
  if (interfaceBitsPerSecond === 0) return undefined;
  return Math.max(1, Math.floor((payloadShare * interfaceBitsPerSecond) / 8 / 2 ** 20));
}

async function enginePlan(
  hosts: Hosts,
  { domain, address, reachability, destination, places }: Asked,
  {
    method,
    engine,
    tlsDir,
    beforeSwitch,
  }: DomainMigrationOptions & { readonly method: Exclude<Method, 'plain'> },
  id: string,
  socket: string,
): Promise<EnginePlan> {
  const memoryMap = domain.memoryParts === 0 ? undefined : await writeMemoryMap(hosts.source, domain, id);
  return {
    id,
    engine,
    strategy: method,
    ...(beforeSwitch === undefined ? {} : { beforeSwitchPercent: beforeSwitch }),
    outgoingSocket: socket,
    incomingSocket: socket,
    address: reachability.ip,
    ...(tlsDir === undefined ? {} : { tlsDir, tlsHostname: address }),
    port: destination.port,
    agentSocket: domain.agentSocket,
    pid: domain.pid,
    ...(memoryMap === undefined ? {} : { memoryMap }),
    storage: places,
    ...(domain.user === 'root' || domain.user === '' ? {} : { user: domain.user }),
  };
}

/**
 * Where the engine can read it after it has become QEMU's user, and written by that user: the folder is his, and root would follow a
 * link that lies there.
 * @throws CodedError 'host'
 */
async function writeMemoryMap(host: OperatedHost, { uuid, user }: DomainFacts, id: string): Promise<string> {
  const file = `${socketFolder}/poolshift-${id}.memory-map`;
  await host.run(`set -euo pipefail
ask() { virsh -c qemu:///system qemu-monitor-command ${quote(uuid)} --hmp "$1"; }
{ ask 'info mtree -f'; ask 'info ramblock'; } |
  ${asUser(user)}bash -c 'umask 077; rm -f -- "$0"; cat > "$0"' ${quote(file)}`);
  return file;
}
