/**
 * Plays the program that manages both VMs, as docs/engine.md wants it: it continues the target when the source's QEMU
 * says that the migration has completed, and decides after "in doubt" by a look at the target.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isCoded } from '../../foundation/coded-error.ts';
import type { QmpClient } from '../../qemu/qmp/client.ts';
import type { QmpEvent } from '../../qemu/qmp/messages.ts';
import type { History } from './history.ts';

const pollMs = 30;
/** A stopped QEMU answers when it goes on; a busy machine is slow. */
const answerMs = 20_000;
/** A target that has been told nothing more for so long says whether it has the VM. */
const targetDecidesMs = 20_000;
/** An engine that has said its last word is gone by then. */
const endsMs = 1000;
const afterDecisionMs = 15_000;
/** An engine that nobody has connected to by then will wait for ever, as it should: it is told to end. */
const comesMs = 5000;

/** QMP's answer, or its absence: `ended`, `silent`. */
export async function ask(qemu: ManagedVm, command: 'query-status' | 'query-migrate'): Promise<string> {
  try {
    return (await qemu.execute(command, {}, { timeoutMs: answerMs })).status ?? 'none';
  } catch (error) {
    return isCoded(error, 'qmp') && error.code === 'timeout' ? 'silent' : 'ended';
  }
}

export interface ManagedEngine {
  readonly events: readonly { readonly event: string }[];
  readonly ended: Promise<unknown>;
  kill(signal: NodeJS.Signals): void;
}

export interface ManagedEngines {
  readonly source: ManagedEngine;
  readonly destination: ManagedEngine;
}

export interface ManagedVm {
  /** QMP. */
  readonly execute: QmpClient['execute'];
  readonly events: readonly QmpEvent[];
  /** Ends its QEMU. */
  stop(): Promise<void>;
}

export interface ManagedPair {
  readonly source: ManagedVm;
  readonly target: ManagedVm;
  /** Of both memories, while both VMs are stopped; undefined where they cannot be compared. */
  differingPages(): readonly number[] | undefined | Promise<readonly number[] | undefined>;
}

export class Manager {
  readonly #pair: ManagedPair;
  readonly #engines: ManagedEngines;
  /** Whether memory is comparable when the target has it. */
  readonly #compares: boolean;
  #settled = false;
  resolution: History['resolution'];
  continuedAtSource = false;
  differingPages: readonly number[] | undefined;

  constructor(pair: ManagedPair, engines: ManagedEngines, compares: boolean) {
    this.#pair = pair;
    this.#engines = engines;
    this.#compares = compares;
  }

  /** The target has loaded everything, and has said so (QMP MIGRATION). */
  get targetHasVm(): boolean {
    return this.#pair.target.events.some(
      ({ name, data }) => name === 'RESUME' || (name === 'MIGRATION' && data['status'] === 'completed'),
    );
  }

  /** Settles when the migration is over, or when `mayWait` says that its time is. */
  async run(mayWait: () => boolean): Promise<void> {
    const { source, destination } = this.#engines;
    const ends = [source, destination].map(endOf);
    const beganMs = performance.now();
    let idle = true;
    while (mayWait()) {
      await this.#settleIfCompleted();
      const [sourceEnded, destinationEnded] = ends.map((end) => end.ended);
      if (idle && performance.now() - beganMs > comesMs) {
        idle = false;
        if (!said(source, 'qemu-connected') && !(await this.#qemuSends())) source.kill('SIGTERM');
        if (!said(destination, 'connected')) destination.kill('SIGTERM');
      }
      const doubt = [source, destination].some((engine) => said(engine, 'in-doubt'));
      if (
        doubt &&
        this.resolution === undefined &&
        (destinationEnded === true || said(destination, 'in-doubt'))
      )
        await this.#decide();
      if (sourceEnded === true && destinationEnded === true) break;
      await sleep(pollMs);
    }
    await this.#settleIfCompleted();
  }

  async #qemuSends(): Promise<boolean> {
    return !['ended', 'none', 'failed', 'cancelled'].includes(await ask(this.#pair.source, 'query-migrate'));
  }

  async #settleIfCompleted(): Promise<void> {
    if (this.#settled || (await ask(this.#pair.source, 'query-migrate')) !== 'completed') return;
    this.#settled = true;
    if (await this.#targetLoads()) {
      await this.#continueTarget();
      return;
    }
    this.continuedAtSource = true;
    await this.#pair.target.stop();
    await this.#pair.source.execute('cont').catch(() => undefined);
  }

  /**
   * Somebody looks at both, as the events advise: a VM that goes on at the source by itself stays there; else the target has
   * it if it has loaded it, and the source's QEMU is ended before the target is continued.
   */
  async #decide(): Promise<void> {
    const { source, target } = this.#pair;
    const wentOn = (await ask(source, 'query-status')) === 'running';
    const taken = !wentOn && (this.#settled || (await this.#targetLoads()));
    this.resolution = { atMs: Date.now(), to: taken ? 'target' : 'source' };
    // The destination engine holds nothing; the source's ends when its QEMU has been told.
    const { destination } = this.#engines;
    if (said(destination, 'in-doubt') && !(await endsWithin(destination, endsMs))) destination.kill('SIGINT');
    if (taken) {
      await source.stop();
      if (!this.#settled) await this.#continueTarget();
      return;
    }
    await target.stop();
    await source.execute('migrate_cancel').catch(() => undefined);
    for (let waitedMs = 0; waitedMs < afterDecisionMs; waitedMs += pollMs) {
      const status = await ask(source, 'query-status');
      if (status === 'running' || status === 'ended') return;
      await this.#settleIfCompleted();
      await sleep(pollMs);
    }
  }

  /** Whether the target has the VM, or gets it within a time. */
  async #targetLoads(): Promise<boolean> {
    const deadlineMs = performance.now() + targetDecidesMs;
    for (;;) {
      const status = await ask(this.#pair.target, 'query-status');
      if (this.targetHasVm && (status === 'paused' || status === 'running')) return true;
      if (status === 'ended' || performance.now() > deadlineMs) return false;
      await sleep(pollMs);
    }
  }

  async #continueTarget(): Promise<void> {
    const { target } = this.#pair;
    await target.execute('stop').catch(() => undefined);
    if (this.#compares) this.differingPages = await this.#pair.differingPages();
    await target.execute('cont').catch(() => undefined);
  }
}

async function endsWithin(engine: ManagedEngine, ms: number): Promise<boolean> {
  const over = new AbortController();
  const late = sleep(ms, false, { signal: over.signal });
  late.catch(() => undefined);
  const ended = await Promise.race([engine.ended.then(() => true), late]);
  over.abort();
  return ended;
}

/** Whether it has reported the event. */
export function said(engine: ManagedEngine, name: string): boolean {
  return engine.events.some(({ event }) => event === name);
}

/** Tells whether it has ended. */
export function endOf(engine: ManagedEngine): { ended: boolean } {
  const end = { ended: false };
  void engine.ended.then(() => {
    end.ended = true;
  });
  return end;
}
