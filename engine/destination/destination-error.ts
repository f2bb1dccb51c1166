export type DestinationErrorCode =
  /** The target QEMU cannot be reached, or closed its connection before it had everything. */
  | 'target-failed'
  /** The source let RAM end with pages pending. */
  | 'incomplete'
  /** The stream cannot be held until it is whole: more device state than there is room for. */
  | 'device-state'
  /** What the target is or does within a limit cannot be told. */
  | 'target-silent'
  /** Something did not come within its limit. */
  | 'limit'
  /** The engine cannot listen. */
  | 'listen-failed';

/** The destination engine cannot go on. */
export class DestinationError extends Error {
  override readonly name = 'DestinationError';
  readonly code: DestinationErrorCode;

  constructor(code: DestinationErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
