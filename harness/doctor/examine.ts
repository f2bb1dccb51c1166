/** `npm run doctor`: everything that a run needs of an inventory's machines, looked at before one is started. */
import type { ClockOffset } from '../probes/clock.ts';
import { type HostName, hostNames } from '../testbed/host.ts';
import { openConnections } from '../testbed/inventory/connections.ts';
import { networksOf } from '../testbed/inventory/networks.ts';
import type { Inventory } from '../testbed/inventory/schema.ts';
import { measureOffset } from './clock.ts';
import type { Finding } from './finding.ts';
import { type HostFacts, askHost, neededPrograms } from './host-facts.ts';
import { judgeClock, judgeClockPair, judgeSsh, lastLine } from './judge-connection.ts';
import { type WantedRow, judgeHost, judgeQemuPair } from './judge-host.ts';
import { examineKvm } from './kvm.ts';
import { examineGuestAddress, examineLink, examinePath, measuredLinks, neededPaths } from './network.ts';
import { examineStorage } from './storage.ts';

export interface ExamineOptions {
  readonly inventory: Inventory;
  /** Smallest first; at least one. */
  readonly rows: readonly [WantedRow, ...WantedRow[]];
  /** Called as soon as something is known. */
  readonly onFinding: (finding: Finding) => void;
  /** Stops between two checks. */
  readonly signal: AbortSignal;
}

/** Looks at one machine after the other and at what lies between them; changes nothing that stays. About 20 s. */
export async function examine(options: ExamineOptions): Promise<void> {
  const { inventory, onFinding } = options;
  const connections = await openConnections(inventory);
  const machines = {
    hosts: connections.hosts,
    networks: networksOf(inventory, new Map()),
    exportPath: inventory.nfs.export,
    mountPath: inventory.nfs.mount,
  };
  try {
    await new Examination(options, machines).run(onFinding);
  } finally {
    await connections.disconnect();
  }
}

type Machines = Parameters<typeof examineStorage>[0];

class Examination {
  readonly #options: ExamineOptions;
  readonly #machines: Machines;
  readonly #facts = new Map<HostName, HostFacts>();
  readonly #offsets = new Map<HostName, ClockOffset>();

  constructor(options: ExamineOptions, machines: Machines) {
    this.#options = options;
    this.#machines = machines;
  }

  async run(onFinding: (finding: Finding) => void): Promise<void> {
    const { inventory, rows } = this.#options;
    const [{ configuration }] = rows;
    const machines = this.#machines;
    const steps: readonly (readonly [
      check: string,
      hosts: readonly HostName[],
      look: () => Promise<readonly Finding[]>,
    ])[] = [
      ...hostNames.map((host) => ['ssh', [host], () => this.#meet(host)] as const),
      ...hostNames.map((host) => ['clock', [host], () => this.#clock(host)] as const),
      ['QEMU and clocks', ['src', 'dst'], () => Promise.resolve(this.#pair())],
      ...(['src', 'dst'] as const).map(
        (host) => ['KVM', [host], async () => [await examineKvm(machines.hosts[host])]] as const,
      ),
      ...neededPaths.map(
        (path) =>
          [
            `${path.network} network`,
            [path.from, path.to],
            async () => [await examinePath(machines, path)],
          ] as const,
      ),
      [
        "guest's address",
        ['client'],
        async () => [await examineGuestAddress(machines, inventory.guestAddress)],
      ],
      ...measuredLinks.map(
        (link) =>
          [
            `${link.network} link`,
            [link.from, link.to],
            async () => [
              await examineLink(machines, link, {
                bitsPerSecond: configuration.linkBitsPerSecond,
                shaped: inventory.shape,
              }),
            ],
          ] as const,
      ),
      ['NFS coherence', ['src', 'dst', 'nfs'], () => examineStorage(machines)],
    ];
    for (const [check, hosts, look] of steps) {
      this.#options.signal.throwIfAborted();
      for (const finding of await this.#examined(check, hosts, look)) onFinding(finding);
    }
  }

  async #examined(
    check: string,
    hosts: readonly HostName[],
    look: () => Promise<readonly Finding[]>,
  ): Promise<readonly Finding[]> {
    const missing = check === 'ssh' ? [] : hosts.filter((host) => !this.#facts.has(host));
    if (missing.length > 0)
      return [{ check, hosts, status: 'not-checked', found: `needs ssh to ${missing.join(' and ')}` }];
    try {
      return await look();
    } catch (error) {
      const said = error instanceof Error ? error.message : String(error);
      return [
        {
          check,
          hosts,
          status: 'problem',
          found: said.replace(/\s+/g, ' ').slice(0, 300),
          fix: `put right first what is said above of ${hosts.join(' and ')}; then: ${lastLine(said).slice(0, 200)}`,
        },
      ];
    }
  }

  async #meet(name: HostName): Promise<readonly Finding[]> {
    const host = this.#machines.hosts[name];
    try {
      await host.run('true', { timeoutMs: 15_000 });
    } catch (error) {
      return [judgeSsh(name, undefined, error instanceof Error ? error.message : String(error))];
    }
    const mounted = this.#machines.mountPath !== undefined;
    const facts = await askHost(host, this.#machines, Object.keys(neededPrograms(name, mounted)));
    const ssh = judgeSsh(name, facts.userId, undefined);
    if (ssh.status !== 'ok') return [ssh];
    this.#facts.set(name, facts);
    const { networks } = this.#machines;
    return [ssh, ...judgeHost(facts, { host: name, networks, mounted, rows: this.#options.rows })];
  }

  async #clock(name: HostName): Promise<readonly Finding[]> {
    const offset = await measureOffset(this.#machines.hosts[name]);
    this.#offsets.set(name, offset);
    return [judgeClock(name, offset)];
  }

  #pair(): readonly Finding[] {
    const [src, dst] = [this.#facts.get('src'), this.#facts.get('dst')];
    const [srcOffset, dstOffset] = [this.#offsets.get('src'), this.#offsets.get('dst')];
    return [
      ...(src === undefined || dst === undefined ? [] : [judgeQemuPair(src, dst)]),
      ...(srcOffset === undefined || dstOffset === undefined ? [] : [judgeClockPair(srcOffset, dstOffset)]),
    ];
  }
}
