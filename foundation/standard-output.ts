/** What a command is run for, on standard output. */

/**
 * Settles when it is written. A reader that has gone wants no more of it.
 *
 * @throws Error where it is not taken, as by a full disk
 */
export function print(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error: (Error & { readonly code?: string }) | null | undefined) => {
      if (error === null || error === undefined || error.code === 'EPIPE') resolve();
      else reject(new Error(`standard output is not written: ${error.message}`, { cause: error }));
    });
  });
}

/** Of a reader that has gone: the other end of a pipe, or a terminal. */
const gone: ReadonlySet<string | undefined> = new Set(['EPIPE', 'EIO']);

/**
 * For a program that writes with `console.log`, which says nothing of what is not taken. To be called before it writes.
 * @returns to be called at its end: settles with what to say if something was not taken, as by a full disk
 */
export function watchStandardOutput(): () => Promise<string | undefined> {
  let problem: string | undefined;
  const take = (error: (Error & { readonly code?: string }) | null | undefined): void => {
    if (error === null || error === undefined || gone.has(error.code)) return;
    problem ??= `standard output is not written: ${error.message}`;
  };
  process.stdout.on('error', take);
  return () =>
    new Promise((resolve) => {
      process.stdout.write('', (error) => {
        take(error);
        resolve(problem);
      });
    });
}
