/** Ctrl-C and friends: the first one asks for a teardown in good order, a later one gives up on it. */
import { exitCodes } from './options.ts';

/** npm and the shell both pass a Ctrl-C on, so a second signal within this time is the same one. */
const sameSignalMs = 1500;

/**
 * Aborts with an Error "interrupted by SIGINT".
 * @param over aborts when there is nothing left to take down: from then on a signal ends the process as it does any other
 */
export function abortOnSignals(say: (line: string) => void, over?: AbortSignal): AbortSignal {
  const controller = new AbortController();
  let firstMs: number | undefined;
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const onSignal = (): void => {
      const nowMs = performance.now();
      if (firstMs === undefined) {
        firstMs = nowMs;
        say(`${name}: taking everything down (Ctrl-C again to give up on that)`);
        controller.abort(new Error(`interrupted by ${name}`));
      } else if (nowMs - firstMs > sameSignalMs) process.exit(exitCodes.interrupted);
    };
    process.on(name, onSignal);
    over?.addEventListener('abort', () => process.off(name, onSignal));
  }
  return controller.signal;
}
