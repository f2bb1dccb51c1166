/** `npm run doctor`: everything that a run needs of an inventory's machines, looked at before one is started. */
import { linkRatesOf } from '../../experiments/configuration.ts';
import type { ClockOffset } from '../probes/clock.ts';
import { type HostName, hostNames } from '../testbed/host.ts';
import { openConnections } from '../testbed/inventory/connections.ts';
import { type Hold, type HostInUse, describeHolder, tryHold } from '../testbed/inventory/hold.ts';
import { networksOf } from '../testbed/inventory/networks.ts';
import type { Inventory } from '../testbed/inventory/schema.ts';
import { measureOffset } from './clock.ts';
import { type Finding, verdict } from './finding.ts';
import { type HostFacts, askHost, neededPrograms } from './host-facts.ts';
import { judgeClock, judgeClockPair, judgeSsh, lastLine } from './judge-connection.ts';
import { type WantedRow, judgeHost, judgeQemuPair } from './judge-host.ts';
import { examineKvm } from './kvm.ts';
import { examineGuestAddress, examineLink, examinePath, measuredLinks, neededPaths } from './network.ts';
import { examineStorage } from './storage.ts';

interface ExamineOptions {
  readonly inventory: Inventory;
  /** Smallest first; at least one. */
  readonly rows: readonly [WantedRow, ...WantedRow[]];
  /** What the user ran, for the message that others get meanwhile. */
  readonly owner: string;
  /** Called as soon as something is known. */
  readonly onFinding: (finding: Finding) => void;
  /** Stops between two checks. */
  readonly signal: AbortSignal;
}

/** Looks at machines that nobody else uses, one after the other, and at what lies between them; changes nothing that stays. About 20 s. */
export async function examine(options: ExamineOptions): Promise<void> {
  const { inventory } = options;
  const connections = await openConnections(inventory);
  const machines = {
    hosts: connections.hosts,
    networks: networksOf(inventory, new Map()),
    exportPath: inventory.nfs.export,
    mountPath: inventory.nfs.mount,
  };
  try {
    await new Examination(options, machines).run();
  } finally {
    await connections.disconnect();
  }
}

type Machines = Parameters<typeof examineStorage>[0];

interface Step {
  readonly check: string;
  readonly hosts: readonly HostName[];
  readonly look: () => Promise<readonly Finding[]>;
}

class Examination {
  readonly #options: ExamineOptions;
  readonly #machines: Machines;
  readonly #facts = new Map<HostName, HostFacts>();
  readonly #offsets = new Map<HostName, ClockOffset>();
  #hold: Hold | HostInUse | undefined;

  constructor(options: ExamineOptions, machines: Machines) {
    this.#options = options;
    this.#machines = machines;
  }

  async run(): Promise<void> {
    const { signal, onFinding } = this.#options;
    try {
      for (const step of [...this.#questions(), ...this.#trials()]) {
        signal.throwIfAborted();
        for (const finding of await this.#examined(step)) onFinding(finding);
      }
    } finally {
      if (this.#hold !== undefined && 'release' in this.#hold) await this.#hold.release();
    }
  }

  /** They disturb nobody. */
  #questions(): readonly Step[] {
    return [
      ...hostNames.map((host) => ({ check: 'ssh', hosts: [host], look: () => this.#meet(host) })),
      ...hostNames.map((host) => ({ check: 'clock', hosts: [host], look: () => this.#clock(host) })),
      { check: 'QEMU and clocks', hosts: ['src', 'dst'], look: () => Promise.resolve(this.#pair()) },
      { check: 'in use', hosts: [], look: () => this.#take() },
    ];
  }

  /** What starts VMs, fills links or writes to the export would spoil a run of somebody else. */
  #trials(): readonly Step[] {
    const machines = this.#machines;
    const { inventory, rows } = this.#options;
    const rates = linkRatesOf(rows[0].configuration);
    const one = (check: string, hosts: readonly HostName[], look: () => Promise<Finding>): Step => ({
      check,
      hosts,
      look: async () => [await look()],
    });
    const steps = [
      ...(['src', 'dst'] as const).map((host) => one('KVM', [host], () => examineKvm(machines.hosts[host]))),
      ...neededPaths.map((path) =>
        one(`${path.network} network`, [path.from, path.to], () => examinePath(machines, path)),
      ),
      one("guest's address", ['client'], () => examineGuestAddress(machines, inventory.guestAddress)),
      ...measuredLinks.map((link) =>
        one(`${link.network} link`, [link.from, link.to], () =>
          examineLink(machines, link, { bitsPerSecond: rates[link.network], shaped: inventory.shape }),
        ),
      ),
      { check: 'NFS coherence', hosts: ['src', 'dst', 'nfs'] as const, look: () => examineStorage(machines) },
    ];
    return steps.map((step) => ({
      ...step,
      look: () =>
        this.#hold !== undefined && 'release' in this.#hold
          ? step.look()
          : Promise.resolve([notChecked(step, 'needs machines that nobody uses')]),
    }));
  }

  async #examined({ check, hosts, look }: Step): Promise<readonly Finding[]> {
    const missing = check === 'ssh' ? [] : hosts.filter((host) => !this.#facts.has(host));
    if (missing.length > 0) return [notChecked({ check, hosts }, `needs ssh to ${missing.join(' and ')}`)];
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
          fix: `first fix what is reported above for ${hosts.join(' and ')}; then: ${lastLine(said).slice(0, 200)}`,
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

  /** A run of our own machines is not to be disturbed, nor to disturb what is measured here. */
  async #take(): Promise<readonly Finding[]> {
    const reached = hostNames.filter((host) => this.#facts.has(host));
    const hosts = Object.fromEntries(reached.map((name) => [name, this.#machines.hosts[name]]));
    const hold = await tryHold({ hosts, owner: this.#options.owner, log: () => undefined });
    this.#hold = hold;
    if ('release' in hold) return [];
    return [
      verdict('in use', [hold.host], describeHolder(hold), {
        status: 'problem',
        fix: 'wait for its end, or ask them',
      }),
    ];
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

function notChecked({ check, hosts }: Pick<Step, 'check' | 'hosts'>, found: string): Finding {
  return { check, hosts, status: 'not-checked', found };
}
