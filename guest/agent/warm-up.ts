/** Makes the first list as quick as the later ones. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Deadline } from './deadline.ts';
import type { FoundPrograms } from './finders.ts';
import { GuestError } from './guest-error.ts';
import { listPages } from './list-pages.ts';
import { releaseMemory } from './release-memory.ts';
import type { Turns } from './turns.ts';

/** To see that no server runs, or is still starting, takes little. After a while it is left to the first request. */
const starting = { retryMs: 3000, attempts: 200 };
/** A list that fails is tried again less and less: a scan for a layout that is not known reads the whole pool each time. */
const failing = { firstRetryMs: 2000, attempts: 8 };

/** Less than a list's: a request that comes meanwhile waits, and has what then remains of its own time. */
const warmUpMs = 20_000;

/**
 * Makes one list as soon as a server has started, and drops it: the server's version and layout are then known, the
 * files' first pages are read, filefrag is in the page cache, and the agent's code is compiled. In an emulated guest that
 * is seconds, which would otherwise be part of a migration.
 */
export async function warmUp(find: () => Promise<FoundPrograms>, turns: Turns): Promise<void> {
  let failures = 0;
  for (let attempt = 0; attempt < starting.attempts && failures < failing.attempts; attempt++) {
    let retryMs = starting.retryMs;
    try {
      const isListed = await turns.take(async () => {
        const ready = (await find()).programs.filter((program) => program.isReady());
        const isServing = ready.some(({ isKernel }) => isKernel !== true);
        if (isServing) await listPages(ready, [], { deadline: new Deadline(warmUpMs) });
        return isServing;
      });
      releaseMemory();
      if (isListed) return;
    } catch (error) {
      // Never able to, or ended meanwhile: whoever asks for a list gets the reason.
      if (!(error instanceof GuestError)) throw error;
      retryMs = failing.firstRetryMs * 2 ** failures++;
    }
    await sleep(retryMs);
  }
}
