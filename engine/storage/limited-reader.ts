/** Storage that does not answer must not hold a migration up: its pages come from the source's memory instead. */
import { CodedError } from '../../foundation/coded-error.ts';
import type { StorageReader } from './storage-reader.ts';

/**
 * Reads through `reader`, for at most `limitMs` each. After the first read that takes longer, nothing is read any more.
 * A read that was given up may still write into its buffer: the error's code is 'no-answer', and the buffer is lost.
 */
export function limitedReader(reader: StorageReader, limitMs: number): StorageReader {
  let givenUp: CodedError<'storage'> | undefined;
  return {
    sizeBytes: reader.sizeBytes,
    read: async (into, offsetBytes) => {
      if (givenUp !== undefined) throw new CodedError('storage', 'given-up', givenUp.message);
      const { promise: limit, reject } = Promise.withResolvers<never>();
      const timer = setTimeout(() => {
        givenUp = new CodedError('storage', 'no-answer', `storage has not answered for ${limitMs / 1000} s`);
        reject(givenUp);
      }, limitMs);
      try {
        await Promise.race([reader.read(into, offsetBytes), limit]);
      } finally {
        clearTimeout(timer);
      }
    },
    close: () => reader.close(),
  };
}
