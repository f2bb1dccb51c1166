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
