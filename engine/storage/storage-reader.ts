/** Shared storage as the destination engine sees it: something with a size that can be read at any place. */
import { CodedError } from '../../foundation/coded-error.ts';

/** Reads begin, end and land in memory at multiples of this many bytes, which is what O_DIRECT wants at most. */
export const storageAlignmentBytes = 4096;

export interface StorageReader {
  readonly sizeBytes: number;
  /**
   * Fills `into` from `offsetBytes` on. Several reads may run at once, each with a buffer of its own.
   *
   * @param into from `allocateAligned`, or a part of it that begins and ends at multiples of `storageAlignmentBytes`
   * @throws CodedError 'storage', 'read-failed' if the bytes cannot be read or lie beyond the end
   */
  read(into: Buffer, offsetBytes: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * Storage that does not answer must not hold a migration up: its pages come from the source's memory instead. Reads through
 * `reader`, for at most `limitMs` each; after the first read that takes longer, nothing is read any more.
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
