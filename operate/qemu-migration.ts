/** `poolshift migrate --source-qmp PLACE --target-qmp PLACE`: two QEMUs that somebody else started, without libvirt. */
import { endpoint } from '../foundation/endpoint.ts';
import os from 'node:os';
import path from 'node:path';
import { agentPortName } from '../engine/list/agent-protocol.ts';
import { endAbandoned } from './abandoned.ts';
import { qmpAddress } from './address.ts';
import { type Finding, hinders, judgeQemus, type Method, methodFindings, type QemusAsked } from './checks.ts';
import { enginesOf, type EnginePlan } from './engine-commands.ts';
import {
  askAgent,
  askBothStorages,
  askClock,
  askHost,
  askOpening,
  askPort,
  askReachability,
  askUnitsLeft,
  type DiskFacts,
} from './facts.ts';
import { OperatedHost, SshConnections, type WaitListener } from './host.ts';
import { folderOf, migrationId, plainName } from './launch.ts';
import { Monitor, processBehind, type Qemu } from './monitor.ts';
import { qmpDriver } from './qmp-driver.ts';
import { type BrokenMove, type RecoveryEnd, recoverMove } from './recovery.ts';
import type { Reporter } from './report.ts';
import { comparable, openable, placesOf } from './storage-places.ts';
import { runMigration } from './run-migration.ts';
import type { Summary } from './summary.ts';
import { mib } from '../foundation/quantity.ts';

export interface QemuMigrationOptions {
  readonly sourceQmp: string;
  readonly targetQmp: string;
  readonly method: Method;
  readonly engine: string;
  readonly storage: readonly string[];
  /** Default: as the source's QEMU has its port. */
  readonly agent?: string;
  readonly toAddress?: string;
  readonly port: number;
  readonly bandwidth?: number;
  readonly availableSwitchoverBandwidth?: number;
  readonly maxDowntime?: number;
  readonly timeout?: number;
  /** Percent, with `resume`. */
  readonly beforeSwitch?: number;
  readonly tlsDir?: string;
}

interface Ends {
  readonly source: Qemu;
  readonly target: Qemu;
  readonly hosts: { readonly source: OperatedHost; readonly destination: OperatedHost };
}

async function withQemus<T>(
  options: Pick<QemuMigrationOptions, 'sourceQmp' | 'targetQmp'>,
  listener: WaitListener,
  body: (ends: Ends) => Promise<T>,
): Promise<T> {
  return withSockets([options.sourceQmp, options.targetQmp], listener, ([source, target]) => {
    if (source === undefined || target === undefined) throw new Error('a QEMU is missing');
    const hosts = { source: source.host, destination: target.host };
    return body({ source: source.qemu, target: target.qemu, hosts });
  });
}

/** The same of the target alone. */
async function withTarget<T>(
  targetQmp: string,
  listener: WaitListener,
  body: (target: Qemu, host: OperatedHost) => Promise<T>,
): Promise<T> {
  return withSockets([targetQmp], listener, ([target]) => {
    if (target === undefined) throw new Error('a QEMU is missing');
    return body(target.qemu, target.host);
  });
}

/** Speaks to the QEMU of each socket, on its host. */
async function withSockets<T>(
  names: readonly string[],
  listener: WaitListener,
  body: (ends: readonly { readonly qemu: Qemu; readonly host: OperatedHost }[]) => Promise<T>,
): Promise<T> {
  const places = names.map(qmpAddress);
  const connections = SshConnections.open(listener);
  const hosts = places.map(({ ssh }) => new OperatedHost(ssh, connections));
  const open: Monitor[] = [];
  try {
    const ends: { readonly qemu: Qemu; readonly host: OperatedHost }[] = [];
    for (const [index, host] of hosts.entries()) {
      const qemu = await Monitor.open(host, places[index]?.path ?? '', `qemu-${index}`, listener);
      open.push(qemu);
      ends.push({ qemu, host });
    }
    return await body(ends);
  } finally {
    for (const client of open) client.close();
    await connections.close(hosts);
  }
}

/** The socket of the agent's port, from what QEMU says of its devices and of its character devices. Pure. */
export function agentSocketOf(
  qtree: string,
  chardevs: readonly { readonly label: string; readonly filename: string }[],
): string | undefined {
  const port = qtree
    .split(/^\s*dev: /m)
    .find((device) => device.startsWith('virtserialport,') && device.includes(`name = "${agentPortName}"`));
  const label = /chardev = "([^"]+)"/.exec(port ?? '')?.[1];
  const filename = chardevs.find((chardev) => chardev.label === label)?.filename;
  return /^(?:disconnected:)?unix:([^,]+)/.exec(filename ?? '')?.[1];
}

interface BlockDevice {
  readonly device: string;
  readonly inserted?:
    | {
        readonly file: string;
        readonly drv: string;
        readonly ro: boolean;
        readonly 'node-name'?: string | undefined;
      }
    | undefined;
}

/** The VM's disks, from what QEMU says of its block devices and of its devices. Nobody says what the guest calls them. Pure. */
export function disksOf(blocks: readonly BlockDevice[], qtree: string): readonly DiskFacts[] {
  const devices = qtree.split(/^\s*dev: /m);
  return blocks.flatMap(({ device, inserted }) => {
    if (inserted === undefined || inserted.ro) return [];
    const { file, drv, 'node-name': node = '' } = inserted;
    const drive = [device, node].filter((name) => name !== '');
    const shown = devices.find((text) => drive.some((name) => text.includes(`drive = "${name}"`)));
    const serial = /^\s*serial = "(.*)"$/m.exec(shown ?? '')?.[1] ?? '';
    return [{ target: '', serial, format: drv, kind: file, place: placeIn(file) }];
  });
}

/** Drivers that pass on what is below them, as long as nothing else is said of them. */
const filters = new Set(['throttle', 'copy-on-read', 'raw', 'qcow2']);

/** The file in QEMU's name of an image, which is JSON where a path does not say all (block.c, bdrv_refresh_filename). */
function placeIn(name: string): string | undefined {
  if (name.startsWith('/')) return name;
  if (name.startsWith('nfs://')) return name.replace(/\?.*$/, '');
  if (!name.startsWith('json:')) return undefined;
  try {
    return placeBelow(JSON.parse(name.slice('json:'.length)));
  } catch {
    // QEMU cuts what is longer than a path.
    return undefined;
  }
}

function placeBelow(node: unknown): string | undefined {
  if (typeof node !== 'object' || node === null) return undefined;
  const { driver, filename, file, offset, size } = node as Readonly<Record<string, unknown>>;
  if (driver === 'file' || driver === 'host_device')
    return typeof filename === 'string' && filename.startsWith('/') ? filename : undefined;
  const isWhole =
    typeof driver === 'string' && filters.has(driver) && offset === undefined && size === undefined;
  return isWhole ? placeBelow(file) : undefined;
}

/** What it is called here. @throws CodedError 'qmp' */
async function vmName(source: Qemu, sourceQmp: string): Promise<string> {
  const { name } = await source.execute('query-name');
  return name ?? path.basename(qmpAddress(sourceQmp).path, '.qmp');
}

/** For QEMU. Pure. */
export function tcpUri(ip: string, port: number): string {
  return `tcp:${endpoint(ip, port)}`;
}

/** How the source reaches a target on this machine. */
const localAddress = (source: OperatedHost): string =>
  source.ssh === undefined ? '127.0.0.1' : os.hostname();

interface Inspected extends QemusAsked {
  readonly vm: string;
  readonly pid: number;
  readonly user: string;
  readonly agentSocket: string;
}

/** @throws CodedError 'host', 'qmp' */
async function inspect({ source, target, hosts }: Ends, options: QemuMigrationOptions): Promise<Inspected> {
  const { engine, port } = options;
  const qmpPath = qmpAddress(options.sourceQmp).path;
  const { pid, user } = await processBehind(hosts.source, qmpPath);
  const qtree = await source.execute('human-monitor-command', { 'command-line': 'info qtree' });
  const agentSocket = options.agent ?? agentSocketOf(qtree, await source.execute('query-chardev')) ?? '';
  const disks = disksOf(await source.execute('query-block'), qtree);
  const places = placesOf(disks, options.storage);
  const address = options.toAddress ?? hosts.destination.ssh?.host ?? localAddress(hosts.source);
  const clockDifferenceMs = (await askClock(hosts.destination)) - (await askClock(hosts.source));
  const freePort = await askPort(hosts.destination, port);
  const version = async (qemu: Qemu): Promise<string> => {
    const { major, minor, micro } = (await qemu.execute('query-version')).qemu;
    return `${major}.${minor}.${micro}`;
  };
  const capabilities = await source.execute('query-migrate-capabilities');
  const vm = await vmName(source, options.sourceQmp);
  return {
    vm,
    unitsLeft: await askUnitsLeft(hosts, vm),
    pid,
    user,
    agentSocket,
    places,
    source: await askHost(hosts.source, engine),
    destination: { ...(await askHost(hosts.destination, engine)), port: freePort },
    qemu: {
      versions: [await version(source), await version(target)],
      status: (await source.execute('query-status')).status,
      targetStatus: (await target.execute('query-status')).status,
      freePageHints: /free-page-hint = true/.test(qtree),
      on: capabilities.filter(({ state }) => state).map(({ capability }) => capability),
      pid,
    },
    agent: {
      socket: agentSocket,
      ...(agentSocket === ''
        ? { answers: false, says: '' }
        : await askAgent(hosts.source, engine, agentSocket)),
    },
    disks,
    storage: await askBothStorages(hosts, comparable(places), user),
    unopened: await askOpening(hosts.destination, engine, openable(places), user),
    clockDifferenceMs,
    address,
    reachability: await askReachability(hosts.source, address, freePort),
  };
}

const findingsOf = (inspected: Inspected, { method }: QemuMigrationOptions): readonly Finding[] => [
  ...judgeQemus(inspected),
  ...methodFindings(method, inspected.qemu.versions),
];

/** `poolshift check --source-qmp ...`. @throws CodedError 'host', 'qmp', 'command' */
export async function checkQemus(
  options: QemuMigrationOptions,
  reporter: Reporter,
): Promise<readonly Finding[]> {
  return withQemus(options, reporter, async (ends) => {
    const findings = findingsOf(await inspect(ends, options), options);
    reporter.findings(findings);
    return hinders(findings, options.method);
  });
}

/** @returns what stands in the way, and then nothing was started; or what came of it @throws CodedError 'host', 'qmp', 'command' */
export async function migrateQemu(
  options: QemuMigrationOptions,
  reporter: Reporter,
  onInterrupt: (listener: () => void) => void,
): Promise<{ readonly hindered: readonly Finding[] } | { readonly summary: Summary }> {
  const { method } = options;
  return withQemus(options, reporter, async ({ source, target, hosts }) => {
    const name = await vmName(source, options.sourceQmp);
    await endAbandoned([hosts.source, hosts.destination], name, reporter);
    const inspected = await inspect({ source, target, hosts }, options);
    const findings = findingsOf(inspected, options);
    const hindered = hinders(findings, method);
    reporter.findings(hindered.length > 0 ? hindered : findings.filter(({ level }) => level === 'note'));
    if (hindered.length > 0) return { hindered };

    const { vm } = inspected;
    const id = migrationId(vm);
    const plan = method === 'plain' ? undefined : enginePlan(inspected, options, method, id);
    const { bandwidth, availableSwitchoverBandwidth, maxDowntime, timeout } = options;
    const tcp = tcpUri(inspected.reachability.ip, inspected.destination.port);
    const summary = await runMigration({
      id,
      vm,
      method,
      hosts,
      ...enginesOf(plan),
      driver: qmpDriver({
        source,
        target,
        outgoingUri: plan === undefined ? tcp : `unix:${plan.outgoingSocket}`,
        incomingUri: plan === undefined ? tcp : `unix:${plan.incomingSocket}`,
        throughEngines: plan !== undefined,
        early: method === 'resume',
        ...(bandwidth === undefined ? {} : { bandwidthBytesPerSecond: bandwidth * mib }),
        ...(availableSwitchoverBandwidth === undefined
          ? {}
          : { switchoverBytesPerSecond: availableSwitchoverBandwidth * mib }),
        ...(maxDowntime === undefined ? {} : { maxDowntimeMs: maxDowntime }),
        ...(timeout === undefined ? {} : { timeoutMs: timeout * 1000 }),
      }),
      reporter,
      onInterrupt,
    });
    return { summary };
  });
}

/** `poolshift recover --from-storage --target-qmp ...`: the source is lost. Throws as `recoverQemu` does. */
export async function recoverQemuFromStorage(
  { targetQmp, engine }: Pick<QemuMigrationOptions, 'targetQmp' | 'engine'>,
  reporter: Reporter,
  onInterrupt: (listener: () => void) => void,
): Promise<RecoveryEnd> {
  return withTarget(targetQmp, reporter, async (target, destination) => {
    const vm = await vmName(target, targetQmp);
    const hosts = { source: undefined, destination };
    return recoverMove(
      {
        ...{ vm, hosts, engine, ...targetOf(target, targetQmp, vm) },
        look: async () => ({ runsAtSource: false, targetMigration: await migrationOf(target) }),
        endsSource: undefined,
      },
      reporter,
      onInterrupt,
    );
  });
}

const migrationOf = async (target: Qemu): Promise<string> =>
  (await target.execute('query-migrate')).status ?? 'none';

/** How a target is told to wait for a recovery, and where. */
const targetOf = (
  target: Qemu,
  targetQmp: string,
  vm: string,
): Pick<BrokenMove, 'targetSocket' | 'tellTarget'> => ({
  targetSocket: path.posix.join(
    path.posix.dirname(qmpAddress(targetQmp).path),
    `poolshift-${plainName(vm)}-recovery.sock`,
  ),
  tellTarget: async (uri) => {
    await target.execute('migrate-recover', { uri }, { outOfBand: true });
  },
});

/** `poolshift recover --source-qmp ...`. Throws as `recoverMove` does, and CodedError 'qmp'. */
export async function recoverQemu(
  options: Pick<QemuMigrationOptions, 'sourceQmp' | 'targetQmp' | 'engine'>,
  reporter: Reporter,
  onInterrupt: (listener: () => void) => void,
): Promise<RecoveryEnd> {
  return withQemus(options, reporter, async ({ source, target, hosts }) => {
    const { sourceQmp, targetQmp, engine } = options;
    const vm = await vmName(source, sourceQmp);
    return recoverMove(
      {
        ...{ vm, hosts, engine, ...targetOf(target, targetQmp, vm) },
        look: async () => ({
          runsAtSource: (await source.execute('query-status')).status === 'running',
          targetMigration: await migrationOf(target),
        }),
        endsSource: `{"execute": "quit"} at ${sourceQmp}`,
      },
      reporter,
      onInterrupt,
    );
  });
}

/** Sockets lie where QEMU's user has made its own; as root, where nobody else comes, under short names: the folder has the VM's. */
const socketOf = (
  end: 'outgoing' | 'incoming',
  qmp: string,
  { vm, user }: Pick<Inspected, 'vm' | 'user'>,
  id: string,
): string =>
  user === 'root' || user === ''
    ? `${folderOf(id)}/${end}.sock`
    : `${path.posix.dirname(qmpAddress(qmp).path)}/poolshift-${plainName(vm)}-${end}.sock`;

function enginePlan(
  { vm, pid, user, agentSocket, places, reachability, address, destination }: Inspected,
  { sourceQmp, targetQmp, engine, tlsDir, beforeSwitch }: QemuMigrationOptions,
  method: Exclude<Method, 'plain'>,
  id: string,
): EnginePlan {
  return {
    id,
    engine,
    strategy: method,
    ...(beforeSwitch === undefined ? {} : { beforeSwitchPercent: beforeSwitch }),
    outgoingSocket: socketOf('outgoing', sourceQmp, { vm, user }, id),
    incomingSocket: socketOf('incoming', targetQmp, { vm, user }, id),
    address: reachability.ip,
    ...(tlsDir === undefined ? {} : { tlsDir, tlsHostname: address }),
    port: destination.port,
    agentSocket,
    pid,
    storage: places,
    ...(user === 'root' || user === '' ? {} : { user }),
  };
}
