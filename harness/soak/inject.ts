/** Waits for a run's moment and does its fault, to real processes and connections. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { QmpClient } from '../../qemu/qmp/client.ts';
import type { EngineEvent } from '../../engine/core/engine-event.ts';
import { inDeviceState } from './device-state.ts';
import type { Action, Fault, Moment, PlaceName, ProcessName } from './plan.ts';
import { afterBytes, Relay } from './relay.ts';

/** A QEMU that does not answer must not hold the run up. */
const letGoMs = 10_000;

/** The proxies that a fault needs, at the moment or for the action. */
export function placesOf(fault: Fault): ReadonlySet<PlaceName> {
  const places = new Set<PlaceName>();
  if (fault.kind !== 'action') return places;
  if ('place' in fault.action) places.add(fault.action.place);
  if ('place' in fault.moment) places.add(fault.moment.place);
  return places;
}

/** A connection that can be held up: a proxy, or the link itself. */
export interface Conduit {
  pause(): void | Promise<void>;
  resume(): void | Promise<void>;
  /** Undefined: as fast as it goes. */
  limit(bytesPerSecond: number | undefined): void | Promise<void>;
}

interface InjectorParts {
  readonly conduits: ReadonlyMap<PlaceName, Conduit>;
  /** Returns whether there was a process to send it to. */
  readonly signal: (process: ProcessName, signal: NodeJS.Signals) => boolean | Promise<boolean>;
  /** The source's. */
  readonly qemu: {
    readonly execute: QmpClient['execute'];
  };
}

interface WatchedEngine {
  event(name: EngineEvent['event']): Promise<unknown>;
}

export class Injector {
  readonly #fault: Fault;
  readonly #parts: InjectorParts;
  readonly #ended = Promise.withResolvers<undefined>();
  #done: { readonly atMs: number } | undefined;
  #acting: Promise<void> = Promise.resolve();
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
      this.#relayAt(moment.place)?.watch(direction, watch, () => this.#held(moment));
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
  start(engines: Readonly<Record<'source' | 'destination', WatchedEngine>>): void {
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

  /** No fault begins any more; settles when what one holds up goes on, or cannot be let go. */
  async stop(): Promise<void> {
    this.#over = true;
    this.#ended.resolve(undefined);
    const late = new AbortController();
    const limit = sleep(letGoMs, undefined, { signal: late.signal });
    limit.catch(() => undefined);
    await Promise.race([this.#acting, limit]);
    late.abort();
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
    this.#acting = this.#actOnce(this.#fault.action);
    await this.#acting;
  }

  async #actOnce(action: Action): Promise<void> {
    this.#done = { atMs: Date.now() };
    const done = await this.#do(action);
    if (!done) this.#done = undefined;
    this.#endedAtMs = performance.now();
  }

  /** Returns whether there was anything to do it to. */
  async #do(action: Action): Promise<boolean> {
    switch (action.kind) {
      case 'signal':
        return this.#parts.signal(action.process, action.signal);
      case 'stop': {
        if (!(await this.#parts.signal(action.process, 'SIGSTOP'))) return false;
        await this.#waits(action.forMs);
        await this.#parts.signal(action.process, 'SIGCONT');
        return true;
      }
      case 'cancel':
        return this.#execute('migrate_cancel');
      case 'reset': {
        // A VM that has left must not be touched: its memory is what the target's is compared with.
        const answer = await this.#parts.qemu.execute('query-status').catch(() => undefined);
        return answer?.status === 'running' && this.#execute('system_reset');
      }
      case 'pause':
      case 'slow': {
        const conduit = this.#parts.conduits.get(action.place);
        if (conduit === undefined) return false;
        await (action.kind === 'pause'
          ? this.#pause(conduit, action.forMs)
          : this.#slow(conduit, action.bytesPerSecond, action.forMs));
        return true;
      }
      default: {
        const relay = this.#relayAt(action.place);
        if (relay === undefined) return false;
        await this.#onRelay(relay, action);
        return true;
      }
    }
  }

  async #pause(conduit: Conduit, forMs: number): Promise<void> {
    await conduit.pause();
    await this.#waits(forMs);
    await conduit.resume();
  }

  async #slow(conduit: Conduit, bytesPerSecond: number, forMs: number): Promise<void> {
    await conduit.limit(bytesPerSecond);
    await this.#waits(forMs);
    await conduit.limit(undefined);
  }

  /** What only a proxy can do. */
  async #onRelay(
    relay: Relay,
    action: Extract<Action, { readonly kind: 'cut' | 'drop' | 'flip' }>,
  ): Promise<void> {
    switch (action.kind) {
      case 'cut':
        relay.cut(action.how);
        return;
      case 'drop':
        relay.refuse(true);
        relay.cut('reset');
        await this.#waits(action.forMs);
        relay.refuse(false);
        return;
      case 'flip':
        relay.flip(action.direction, action.fraction, action.bit);
    }
  }

  #relayAt(place: PlaceName): Relay | undefined {
    const conduit = this.#parts.conduits.get(place);
    return conduit instanceof Relay ? conduit : undefined;
  }

  async #execute(command: 'migrate_cancel' | 'system_reset'): Promise<boolean> {
    try {
      await this.#parts.qemu.execute(command);
      return true;
    } catch {
      return false;
    }
  }
}
