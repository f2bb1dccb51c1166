/** Makes the first list as quick as the later ones. */
import { setTimeout as sleep } from 'node:timers/promises';
import { GuestError } from './guest-error.ts';
import { listPages } from './list-pages.ts';
import type { CachingProgram } from './page-finder.ts';
import { releaseMemory } from './release-memory.ts';

/** To see that no server runs takes little, and a server may come up late. Then it is left to the first request. */
const noServer = { retryMs: 3000, attempts: 200 };
/** What else goes wrong is tried again less and less: a scan for a layout that is not known reads the whole pool each time. */
const other = { firstRetryMs: 2000, attempts: 8 };

/**
 * Makes one list as soon as there is something to list, and drops it: the server's version and layout are then known, the
 * files' first pages are read, filefrag is in the page cache, and the agent's code is compiled. In an emulated guest that
 * is seconds, which would otherwise be part of a migration.
 */
export async function warmUp(programs: () => Promise<readonly CachingProgram[]>): Promise<void> {
  let failures = 0;
  for (let attempt = 0; attempt < noServer.attempts && failures < other.attempts; attempt++) {
    try {
      await listPages(await programs());
      releaseMemory();
      return;
    } catch (error) {
      // Not up yet, or never able to: whoever asks for a list gets the reason.
      if (!(error instanceof GuestError)) throw error;
      await sleep(error.code === 'no-server' ? noServer.retryMs : other.firstRetryMs * 2 ** failures++);
    }
  }
}
