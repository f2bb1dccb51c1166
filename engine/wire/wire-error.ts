export type WireErrorCode =
  /** Bytes that no engine of this version sends. */
  | 'malformed'
  /** A frame longer than its type allows. */
  | 'too-long'
  /** Bytes were changed on their way. */
  | 'corrupt'
  /** The other end is not the engine that it should be: it has another key, or no certificate that holds here. */
  | 'not-authenticated'
  /** The other engine speaks another version, or is of another VM or another page size. */
  | 'incompatible'
  /** Nothing was heard from the other engine for too long. */
  | 'timeout'
  /** The connection ended before the migration did. */
  | 'closed'
  /** The other engine gave up; the message is its reason. */
  | 'peer-aborted';

/** The connection between the two engines failed. */
export class WireError extends Error {
  override readonly name = 'WireError';
  readonly code: WireErrorCode;
  /** With 'peer-aborted': the code of the other engine's error. */
  readonly peerCode: string | undefined;
  /** With 'peer-aborted': the destination vouches that the target will never run. */
  readonly targetNeverRuns: boolean;

  constructor(
    code: WireErrorCode,
    message: string,
    cause?: unknown,
    peerCode?: string,
    targetNeverRuns = false,
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.peerCode = peerCode;
    this.targetNeverRuns = targetNeverRuns;
  }
}
