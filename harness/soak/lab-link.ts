/** A measured network of the lab as something that can be cut and slowed down. */
import type { HostName, NetworkName, Testbed } from '../testbed/host.ts';
import type { HostShell } from './host-shell.ts';
import type { Conduit } from './inject.ts';

export class LabLink implements Conduit {
  readonly #testbed: Testbed;
  readonly #network: NetworkName;
  readonly #shell: HostShell;
  readonly #interface: string;
  readonly #bitsPerSecond: number | undefined;

  /** @param host whose cable is pulled */
  constructor(testbed: Testbed, network: NetworkName, host: HostName, shell: HostShell) {
    const plan = testbed.networks[network];
    this.#testbed = testbed;
    this.#network = network;
    this.#shell = shell;
    this.#interface = plan.interfaces[host];
    this.#bitsPerSecond = plan.rateBitsPerSecond;
  }

  async pause(): Promise<void> {
    await this.#shell.run(`ip link set ${this.#interface} down`);
  }

  /** Idempotent. */
  async resume(): Promise<void> {
    await this.#shell.run(`ip link set ${this.#interface} up`);
  }

  async limit(bytesPerSecond: number | undefined): Promise<void> {
    const bitsPerSecond = bytesPerSecond === undefined ? this.#bitsPerSecond : 8 * bytesPerSecond;
    await this.#testbed.shape(this.#network, bitsPerSecond);
  }
}
