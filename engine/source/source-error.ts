export type SourceErrorCode =
  /** Guest memory cannot be found or read. */
  | 'guest-ram'
  /** What is read as guest memory is not what QEMU sends. */
  | 'guest-ram-differs'
  /** QEMU closed its connection before the migration was over. */
  | 'qemu-closed'
  /** Something did not come within its limit. */
  | 'limit'
  /** The target did not take the whole stream. */
  | 'target-failed';

/** The source engine cannot go on. */
export class SourceError extends Error {
  override readonly name = 'SourceError';
  readonly code: SourceErrorCode;

  constructor(code: SourceErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
