/**
 * Plays the program that manages both VMs in an early resume, as docs/early-resume.md wants it: it stops the VM at the source when it may
 * move, continues the target when that has it, gives the VM back to the source only where that engine has said that it is there,
 * and recovers a move that broke.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { History } from './history.ts';
import { ask, type ManagedEngines, type ManagedPair, said, endOf } from './manager.ts';

const pollMs = 20;
/** An engine that nobody has connected to by then will wait for ever, as it should: it is told to end. */
const comesMs = 5000;
/** QEMU sees within it that its connection is gone. */
const pausesMs = 10_000;
/** A commit without a word of the target is in doubt; somebody looks for so long. */
const looksMs = 10_000;

export class EarlyManager {
  readonly #pair: ManagedPair;
  readonly #engines: ManagedEngines;
  readonly #recover: () => Promise<boolean>;
  #told = false;
  #continued = false;
  recovered = false;
  resolution: History['resolution'];
  continuedAtSource = false;
  differingPages: readonly number[] | undefined;

  constructor(pair: ManagedPair, engines: ManagedEngines, recover: () => Promise<boolean>) {
    this.#pair = pair;
    this.#engines = engines;
    this.#recover = recover;
  }

  /** The target was continued, since it was said to have the VM. */
  get targetHasVm(): boolean {
    return this.#continued;
  }

  /** Settles when the migration is over, or when `mayWait` says that its time is. */
  async run(mayWait: () => boolean): Promise<void> {
    const { source, destination } = this.#engines;
    const ends = { source: endOf(source), destination: endOf(destination) };
    const beganMs = performance.now();
    let idle = true;
    while (mayWait()) {
      await this.#follow();
      if (idle && performance.now() - beganMs > comesMs) {
        idle = false;
        if (!said(source, 'qemu-connected')) source.kill('SIGTERM');
        if (!said(destination, 'connected')) destination.kill('SIGTERM');
      }
      const over = [ends.source.ended, ends.destination.ended];
      // The source's keeps its QEMU for whoever recovers.
      const left = ends.destination.ended && ['incomplete', 'in-doubt'].some((name) => said(source, name));
      if (over.every(Boolean) || left) break;
      await sleep(pollMs);
    }
    await this.#follow();
    await this.#conclude();
  }

  /** What is due at once. */
  async #follow(): Promise<void> {
    const { source, destination } = this.#engines;
    if (!this.#told && said(source, 'may-move')) {
      this.#told = true;
      await this.#pair.source.execute('stop').catch(() => undefined);
      source.kill('SIGUSR1');
    }
    if (this.#continued || !(said(source, 'moved') || said(destination, 'moved'))) return;
    this.#continued = true;
    await this.#pair.target.execute('cont').catch(() => undefined);
  }

  /** Nothing more comes of the engines: where is the VM, and has it everything? */
  async #conclude(): Promise<void> {
    const { source, target } = this.#pair;
    if (!this.#continued && (await this.#targetTookIt())) {
      this.resolution = { atMs: Date.now(), to: 'target' };
      this.#continued = true;
      await target.execute('cont').catch(() => undefined);
    }
    if (this.#continued) {
      if (await this.#targetWaits()) this.recovered = await this.#recover();
      await this.#compare();
      // What it has left must never run; an engine that holds it ends with it.
      await source.stop();
      return;
    }
    await target.stop();
    // An engine in doubt holds its QEMU until somebody has looked: no target has the VM.
    if (said(this.#engines.source, 'in-doubt')) {
      this.resolution = { atMs: Date.now(), to: 'source' };
      this.#engines.source.kill('SIGKILL');
    }
    if (!['failed', 'cancelled'].includes(await this.#endOfSource())) return;
    if ((await ask(source, 'query-status')) !== 'running') {
      this.continuedAtSource = true;
      await source.execute('cont').catch(() => undefined);
    }
  }

  /** No engine has said so, but the commit was made: somebody looks at the target, which has loaded its package or will. */
  async #targetTookIt(): Promise<boolean> {
    const { source, destination } = this.#engines;
    if (!said(source, 'committed') && !said(destination, 'committed')) return false;
    if (said(source, 'failed') || said(source, 'cancelled')) return false;
    const deadlineMs = performance.now() + looksMs;
    while (performance.now() < deadlineMs) {
      const migration = await ask(this.#pair.target, 'query-migrate');
      if (['postcopy-active', 'postcopy-paused', 'completed'].includes(migration)) return true;
      if (['ended', 'failed'].includes(migration)) return false;
      await sleep(pollMs);
    }
    return false;
  }

  async #targetWaits(): Promise<boolean> {
    const deadlineMs = performance.now() + pausesMs;
    for (;;) {
      const migration = await ask(this.#pair.target, 'query-migrate');
      if (migration !== 'postcopy-active' || performance.now() > deadlineMs)
        return migration === 'postcopy-paused';
      await sleep(pollMs);
    }
  }

  /** A source that may go on has seen that its migration has ended. */
  async #endOfSource(): Promise<string> {
    const deadlineMs = performance.now() + pausesMs;
    for (;;) {
      const migration = await ask(this.#pair.source, 'query-migrate');
      const ends = ['failed', 'cancelled', 'postcopy-paused', 'ended'];
      if (ends.includes(migration) || performance.now() > deadlineMs) return migration;
      await sleep(pollMs);
    }
  }

  async #compare(): Promise<void> {
    const { target } = this.#pair;
    if ((await ask(target, 'query-migrate')) !== 'completed') return;
    await target.execute('stop').catch(() => undefined);
    this.differingPages = await this.#pair.differingPages();
    await target.execute('cont').catch(() => undefined);
  }
}
