/** Waits for a run's moment and does its fault, to real processes and connections. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { EngineProcess, VmPair } from '../../engine/cli/testing/vm-pair.ts';
import type { EngineEvent } from '../../engine/restore/engine-event.ts';
import { inDeviceState } from './device-state.ts';
import type { Action, Fault, Moment, PlaceName, ProcessName } from './plan.ts';
import { afterBytes, type Relay } from './relay.ts';

/** The proxies that a fault needs, at the moment or for the action. */
export function placesOf(fault: Fault): ReadonlySet<PlaceName> {
  const places = new Set<PlaceName>();
  if (fault.kind !== 'action') return places;
  if ('place' in fault.action) places.add(fault.action.place);
  if ('place' in fault.moment) places.add(fault.moment.place);
  return places;
}

export interface InjectorParts {
  readonly relays: ReadonlyMap<PlaceName, Relay>;
  readonly pidOf: (process: ProcessName) => number | undefined;
  readonly qemu: VmPair['source'];
}

export class Injector {
  readonly #fault: Fault;
  readonly #parts: InjectorParts;
  readonly #ended = Promise.withResolvers<undefined>();
  #done: { readonly atMs: number } | undefined;
  #over = false;
  #endedAtMs: number | undefined;

  constructor(fault: Fault, parts: InjectorParts) {
    this.#fault = fault;
    this.#parts = parts;
    if (fault.kind !== 'action') return;
    const { moment } = fault;
    if (moment.when === 'bytes' || moment.when === 'device-state') {
      const watch =
        moment.when === 'bytes' ? afterBytes(moment.bytes) : inDeviceState(moment.section, moment.bytes);
      const direction = moment.when === 'bytes' ? moment.direction : 'forward';
      parts.relays.get(moment.place)?.watch(direction, watch, () => this.#held(moment));
    }
  }

  /** When it was done, of the machine's clock. */
  get doneAtMs(): number | undefined {
    return this.#fault.kind === 'missing-device' ? 0 : this.#done?.atMs;
  }

  /** When its effect was over, of performance.now(). */
  get endedAtMs(): number | undefined {
    return this.#endedAtMs;
  }

  /** To be called when QEMU is told to migrate, with the engines as they are there. */
  start(engines: Readonly<Record<'source' | 'destination', EngineProcess>>): void {
    if (this.#fault.kind !== 'action') return;
    const { moment } = this.#fault;
    switch (moment.when) {
      case 'time':
        void this.#after(sleep(moment.afterMs), 0);
        return;
      case 'event':
        void this.#after(engines[moment.engine].event(moment.event as EngineEvent['event']), moment.afterMs);
        return;
      case 'bytes':
      case 'device-state':
    }
  }

  /** No fault begins any more; what one holds up goes on. */
  stop(): void {
    this.#over = true;
    this.#ended.resolve(undefined);
  }

  async #after(moment: Promise<unknown>, afterMs: number): Promise<void> {
    try {
      await moment;
    } catch {
      // The engine ended before.
      return;
    }
    if (afterMs > 0) await sleep(afterMs);
    await this.#act();
  }

  async #held({ beforeMs, afterMs }: Extract<Moment, { readonly beforeMs: number }>): Promise<void> {
    await this.#waits(beforeMs);
    const acted = this.#act();
    await this.#waits(afterMs);
    // A fault that lasts goes on by itself.
    void acted;
  }

  async #waits(ms: number): Promise<void> {
    const over = new AbortController();
    await Promise.race([sleep(ms, undefined, { signal: over.signal }), this.#ended.promise]);
    over.abort();
  }

  async #act(): Promise<void> {
    if (this.#over || this.#done !== undefined || this.#fault.kind !== 'action') return;
    this.#done = { atMs: Date.now() };
    const done = await this.#do(this.#fault.action);
    if (!done) this.#done = undefined;
    this.#endedAtMs = performance.now();
  }

  /** Returns whether there was anything to do it to. */
  async #do(action: Action): Promise<boolean> {
    switch (action.kind) {
      case 'signal':
        return this.#signal(action.process, action.signal);
      case 'stop': {
        if (!this.#signal(action.process, 'SIGSTOP')) return false;
        await this.#waits(action.forMs);
        this.#signal(action.process, 'SIGCONT');
        return true;
      }
      case 'cancel':
        return this.#execute('migrate_cancel');
      case 'reset': {
        // A VM that has left must not be touched: its memory is what the target's is compared with.
        const status = (await this.#parts.qemu.execute('query-status').catch(() => ({}))) as {
          status?: string;
        };
        return status.status === 'running' && this.#execute('system_reset');
      }
      default: {
        const relay = this.#parts.relays.get(action.place);
        if (relay === undefined) return false;
        await this.#onRelay(relay, action);
        return true;
      }
    }
  }

  async #onRelay(relay: Relay, action: Extract<Action, { readonly place: PlaceName }>): Promise<void> {
    switch (action.kind) {
      case 'pause':
        relay.pause();
        await this.#waits(action.forMs);
        relay.resume();
        return;
      case 'cut':
        relay.cut(action.how);
        return;
      case 'drop':
        relay.refuse(true);
        relay.cut('reset');
        await this.#waits(action.forMs);
        relay.refuse(false);
        return;
      case 'slow':
        relay.limit(action.bytesPerSecond);
        await this.#waits(action.forMs);
        relay.limit(undefined);
        return;
      case 'flip':
        relay.flip(action.direction, action.fraction, action.bit);
    }
  }

  #signal(name: ProcessName, signal: NodeJS.Signals): boolean {
    const pid = this.#parts.pidOf(name);
    if (pid === undefined) return false;
    try {
      return process.kill(pid, signal);
    } catch {
      // It has ended.
      return false;
    }
  }

  async #execute(command: string): Promise<boolean> {
    try {
      await this.#parts.qemu.execute(command);
      return true;
    } catch {
      return false;
    }
  }
}
