import { nowMs } from './wall-clock.ts';

const minBackoffMs = 20;
const maxBackoffMs = 1000;

interface PacedLoop {
  /** Starts no further turn; settles when the current one has ended. */
  stop(): Promise<void>;
}

/**
 * Calls `turn` every `intervalMs`, but never before the turn before has ended. After a failed turn the wait doubles from
 * 20 ms up to 1 s.
 */
export function startPacedLoop(intervalMs: number, turn: () => Promise<void>): PacedLoop {
  let stopped = false;
  let wake = (): void => undefined;

  const sleep = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.max(0, ms));
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  const run = async (): Promise<void> => {
    let backoffMs = minBackoffMs;
    while (!stopped) {
      const startedMs = nowMs();
      try {
        await turn();
        backoffMs = minBackoffMs;
        await sleep(startedMs + intervalMs - nowMs());
      } catch {
        // The turn has reported its failure itself.
        await sleep(backoffMs);
        backoffMs = Math.min(backoffMs * 2, maxBackoffMs);
      }
    }
  };
  const ended = run();

  return {
    stop: async () => {
      stopped = true;
      wake();
      await ended;
    },
  };
}
