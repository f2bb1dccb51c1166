import type { QmpClient } from '../../qemu/qmp/client.ts';

/**
 * Settles as `work` does, or fails as soon as QEMU is gone: a client whose server vanishes without a word waits for it
 * until TCP gives up, which takes a quarter of an hour.
 */
export async function whileVmLives<Result>(qemu: QmpClient, work: Promise<Result>): Promise<Result> {
  const waiting = new AbortController();
  const gone = qemu.waitForEvent((event) => event.name === 'SHUTDOWN', {
    timeoutMs: 2 ** 31 - 1,
    signal: waiting.signal,
  });
  const failed = gone.then(() => {
    throw new Error('the guest shut down');
  });
  failed.catch(() => undefined);
  work.catch(() => undefined);
  try {
    return await Promise.race([work, failed]);
  } finally {
    waiting.abort();
  }
}
