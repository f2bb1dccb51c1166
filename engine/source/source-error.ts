export type SourceErrorCode =
  /** Guest memory cannot be found or read. */
  | 'guest-ram'
  /** What is read as guest memory is not what QEMU sends. */
  | 'guest-ram-differs'
  /** The path on which to wait for QEMU is taken, or no socket can be made there. */
  | 'socket-path'
  /** QEMU closed its connection before the migration was over. */
  | 'qemu-closed'
  /** Something did not come within its limit. */
  | 'limit'
  /** QEMU sends pages on connections of their own. */
  | 'multifd'
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
