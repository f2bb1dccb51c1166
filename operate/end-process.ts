/** Ends this process, with what it has written read: the last line is the one that counts. */
import { setTimeout as sleep } from 'node:timers/promises';

/** A reader that lags gets so long, and then no last line. */
const lastLineMs = 30_000;

/** Does not return. */
export async function endProcess(): Promise<never> {
  const written = [process.stdout, process.stderr].map(
    (stream) =>
      new Promise<void>((resolve) => {
        stream.write('', () => {
          resolve();
        });
      }),
  );
  await Promise.race([Promise.all(written), sleep(lastLineMs)]);
  process.exit();
}
