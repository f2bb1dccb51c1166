/** A VM on a host of the lab, as manager and checker see it. */
import type { Host } from '../testbed/host.ts';
import { startVm, stopVm } from '../vm/machine.ts';
import type { MachineDescription } from '../vm/qemu-arguments.ts';
import type { QmpEvent } from '../vm/qmp-messages.ts';
import type { QmpClient } from '../vm/qmp.ts';
import { runsOf, type VmHistory } from './history.ts';
import { ask, type ManagedVm } from './manager.ts';

interface LabVmEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly atMs: number;
}

export class LabVm implements ManagedVm {
  readonly events: LabVmEvent[] = [];
  readonly qmp: QmpClient;
  readonly #host: Host;
  #endedMs: number | undefined;

  private constructor(host: Host, qmp: QmpClient) {
    this.#host = host;
    this.qmp = qmp;
    qmp.onEvent((event) => this.events.push(asLabVmEvent(event)));
    qmp
      .waitForEvent(() => false, { timeoutMs: 2 ** 31 - 1 })
      .catch(() => {
        this.#endedMs = Date.now();
      });
  }

  /** The VM must be one that waits to be continued: else its first RESUME is missed. @throws VmError, HostError */
  static async start(host: Host, machine: MachineDescription): Promise<LabVm> {
    return new LabVm(host, await startVm(host, machine));
  }

  /** Whether its QEMU is there. */
  get lives(): boolean {
    return this.#endedMs === undefined;
  }

  execute(command: Parameters<ManagedVm['execute']>[0] | 'system_reset'): Promise<unknown> {
    return this.qmp.execute(command);
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

function asLabVmEvent(event: QmpEvent): LabVmEvent {
  const { atMs } = event;
  switch (event.name) {
    case 'STOP':
    case 'RESUME':
      return { event: event.name, data: {}, atMs };
    case 'MIGRATION':
      return { event: event.name, data: { status: event.status }, atMs };
    case 'SHUTDOWN':
      return { event: event.name, data: { reason: event.reason }, atMs };
    case 'other':
      return { event: event.event, data: event.data, atMs };
  }
}
