/** A VM on a host of the lab, as manager and checker see it. */
import type { Host } from '../testbed/host.ts';
import { startVm, stopVm } from '../vm/machine.ts';
import type { MachineDescription } from '../../qemu/machine-arguments.ts';
import type { Answer, QmpCommand, QmpEvent } from '../../qemu/qmp/messages.ts';
import type { CommandArguments, QmpClient } from '../../qemu/qmp/client.ts';
import { runsOf, type VmHistory } from './history.ts';
import { ask, type ManagedVm } from './manager.ts';

export class LabVm implements ManagedVm {
  readonly events: QmpEvent[] = [];
  readonly qmp: QmpClient;
  readonly #host: Host;
  #endedMs: number | undefined;

  private constructor(host: Host, qmp: QmpClient) {
    this.#host = host;
    this.qmp = qmp;
    qmp.onEvent((event) => this.events.push(event));
    qmp.onLoss(() => (this.#endedMs = Date.now()));
  }

  /** The VM must be one that waits to be continued: else its first RESUME is missed. @throws CodedError 'vm', CodedError 'host' */
  static async start(host: Host, machine: MachineDescription): Promise<LabVm> {
    return new LabVm(host, await startVm(host, machine));
  }

  /** Whether its QEMU is there. */
  get lives(): boolean {
    return this.#endedMs === undefined;
  }

  execute<Name extends QmpCommand>(command: Name, ...rest: CommandArguments<Name>): Promise<Answer<Name>> {
    return this.qmp.execute(command, ...rest);
  }

  async stop(): Promise<void> {
    await stopVm(this.#host);
    this.#endedMs ??= Date.now();
    this.qmp.close();
  }

  async history(): Promise<VmHistory> {
    const status = await ask(this, 'query-status');
    const migration = await ask(this, 'query-migrate');
    return { runs: runsOf(this.events, undefined, this.#endedMs), status, migration };
  }
}
