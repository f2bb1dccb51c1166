/** Gives memory back as soon as a list is sent: an agent that waits should not take it from the database. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

let collect: (() => void) | undefined;
/** What was in use when it was last collected. */
let keptBytes = 0;
/** V8 by itself waits for several times as much. */
const muchBytes = 24 * 1024 * 1024;

/**
 * Collects garbage now. A list's columns are tens of megabytes outside of V8's heap, which V8 by itself lets pile up over
 * several lists.
 */
export function releaseMemory(): void {
  // The only way to V8's collector without a command line option, which whoever starts the agent might forget.
  if (collect === undefined) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  collect();
  // The first collection frees buffers in the background; the next one waits for that.
  collect();
  keptBytes = usedBytes();
}

/** The same between two phases of a list, if the one before left much: what it needed itself, the next would have to stand beside. */
export function releaseMuch(): void {
  if (usedBytes() - keptBytes > muchBytes) releaseMemory();
}

function usedBytes(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
