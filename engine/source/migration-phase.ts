/**
 * How far a migration is at the source, and what an error means at that point: before the commit the VM runs on at the
 * source; after it nobody may know (docs/engine.md, Failure). Pure: events in, decisions out.
 */
import { WireError } from '../wire/wire-error.ts';

type Phase =
  | { readonly is: 'greeting' }
  | { readonly is: 'waiting-for-qemu' }
  | { readonly is: 'migrating' }
  /** QEMU has sent everything, and the target may have it. */
  | { readonly is: 'committed' }
  /** The connection broke after that. */
  | { readonly is: 'in-doubt'; readonly error: Error }
  | { readonly is: 'over' };

export class MigrationPhase {
  #phase: Phase = { is: 'greeting' };
  #qemuEnded = false;
  #returnPathEnded = false;

  get current(): Phase {
    return this.#phase;
  }

  get qemuEnded(): boolean {
    return this.#qemuEnded;
  }

  /** QEMU has closed its end, and so has the target. */
  get bothEnded(): boolean {
    return this.#qemuEnded && this.#returnPathEnded;
  }

  greeted(): void {
    this.#phase = { is: 'waiting-for-qemu' };
  }

  qemuConnected(): void {
    this.#phase = { is: 'migrating' };
  }

  committed(): void {
    this.#phase = { is: 'committed' };
  }

  qemuHasEnded(): void {
    this.#qemuEnded = true;
  }

  returnPathHasEnded(): void {
    this.#returnPathEnded = true;
  }

  over(): void {
    this.#phase = { is: 'over' };
  }

  /**
   * Something went wrong.
   *
   * @returns 'ignored' if the outcome is settled without it; 'failed' if the VM can run on at the source; 'in-doubt' if the
   *   target may have everything and run
   */
  takeError(error: Error): 'ignored' | 'failed' | 'in-doubt' {
    switch (this.#phase.is) {
      case 'over':
      case 'in-doubt':
        return 'ignored';
      case 'committed':
        if (this.#returnPathEnded || this.#targetHasFailed(error)) return 'failed';
        this.#phase = { is: 'in-doubt', error };
        return 'in-doubt';
      default:
        return 'failed';
    }
  }

  /** The destination has seen the target fail, and QEMU still waits for the target's word. */
  #targetHasFailed(error: Error): boolean {
    return error instanceof WireError && error.peerCode === 'target-failed' && !this.#qemuEnded;
  }
}
