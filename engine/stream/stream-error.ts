import type { UnsupportedReason } from './handler.ts';

export type StreamErrorCode =
  /** The stream cannot be filtered, and passing it through is no longer or not at all wanted. */
  | 'unsupported'
  /** The stream ended in its middle. */
  | 'truncated'
  /** A page was to be injected where the format has no place for one. */
  | 'not-injectable'
  /** It is of another VM than the engine was told. */
  | 'another-vm'
  /** A message of the return path that no QEMU sends. */
  | 'return-path';

/** Failure of the stream codec. `reason` is set for the code 'unsupported'. */
export class StreamError extends Error {
  readonly code: StreamErrorCode;
  readonly reason: UnsupportedReason | undefined;

  constructor(code: StreamErrorCode, message: string, reason?: UnsupportedReason) {
    super(message);
    this.name = 'StreamError';
    this.code = code;
    this.reason = reason;
  }
}
