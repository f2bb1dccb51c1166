/** Shared storage as the destination engine sees it: something with a size that can be read at any place. */

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
