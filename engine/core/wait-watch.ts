/** Sees to it that nothing is waited for without a word, or for ever. Pure: time comes with the calls. */
import type { EngineEvent } from './engine-event.ts';

/** How long the engines wait for what does not come. */
export interface Limits {
  /** For a migration to begin: the source engine at the destination, QEMU at both. */
  readonly startMs: number;
  /** For the target's word after the commit. */
  readonly switchoverMs: number;
  /** Without any progress before it: storage, the target, the link, QEMU. */
  readonly stallMs: number;
  /** For one read of storage; then its pages, and all others of it, come from the source's memory. */
  readonly storageMs: number;
}

export const defaultLimits: Limits = {
  startMs: 3_600_000,
  switchoverMs: 30_000,
  stallMs: 300_000,
  storageMs: 30_000,
};

/** What an engine waits for. */
export interface Wait {
  /** In the words of the event `waiting-for`. */
  readonly what: string;
  /** Given up after so long without progress; undefined: never. */
  readonly limitMs?: number;
  /** Changes when some of it comes. */
  readonly progress?: number;
}

export type WaitVerdict =
  | { readonly is: 'quiet' }
  /** It has not come for so long: say so. */
  | { readonly is: 'say'; readonly event: EngineEvent }
  /** Say so, and give it up for this reason. */
  | { readonly is: 'limit'; readonly event: EngineEvent; readonly reason: string };

const firstSaidMs = 10_000;
const quiet: WaitVerdict = { is: 'quiet' };

export class WaitWatch {
  #wait: Wait | undefined;
  #sinceMs = 0;
  #sayAtMs = 0;

  /** To be called several times a second with what is waited for now. What has reached its limit is told once for each limit. */
  update(wait: Wait | undefined, nowMs: number): WaitVerdict {
    const same =
      wait !== undefined && wait.what === this.#wait?.what && wait.progress === this.#wait.progress;
    this.#wait = wait;
    if (!same) {
      this.#restart(nowMs);
      return quiet;
    }
    const waitedMs = nowMs - this.#sinceMs;
    const { what, limitMs = 0 } = wait;
    const seconds = Math.round(waitedMs / 1000);
    const event = { event: 'waiting-for', what, seconds, limit_seconds: limitMs / 1000 } as const;
    if (wait.limitMs !== undefined && waitedMs >= wait.limitMs) {
      this.#restart(nowMs);
      return { is: 'limit', event, reason: `nothing was heard of ${what} for ${seconds} s` };
    }
    if (waitedMs < this.#sayAtMs) return quiet;
    this.#sayAtMs = 2 * waitedMs;
    return { is: 'say', event };
  }

  #restart(nowMs: number): void {
    this.#sinceMs = nowMs;
    this.#sayAtMs = firstSaidMs;
  }
}
