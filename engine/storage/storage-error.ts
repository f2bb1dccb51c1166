export type StorageErrorCode =
  /** It cannot be opened, or is no file and no block device. */
  | 'cannot-open'
  /** A path that leads out of the folder it must stay in. */
  | 'outside'
  | 'read-failed'
  /** It has not answered a read within the limit. */
  | 'no-answer'
  /** It did not answer an earlier one. */
  | 'given-up'
  /** The NBD server, or qemu-storage-daemon behind it, does not do what is needed. */
  | 'nbd'
  /** One list names more than a destination opens. */
  | 'too-many'
  /** A place that cannot be understood. */
  | 'invalid-place';

/** Shared storage cannot be read. */
export class StorageError extends Error {
  override readonly name = 'StorageError';
  readonly code: StorageErrorCode;

  constructor(code: StorageErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
