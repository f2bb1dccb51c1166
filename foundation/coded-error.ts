/**
 * The one class of errors that somebody is told of or that code decides by. `area` says what failed and `code` how; both are
 * stable. Anything else that is thrown is a fault of the program.
 */
import type { ErrorArea, ErrorCodes } from './error-codes.ts';

interface ErrorDetails {
  readonly cause?: unknown;
  /** Name of the host on which it happened. */
  readonly host?: string;
  /** The command that failed, and what it ended with. */
  readonly command?: string;
  readonly exitCode?: number | undefined;
  /** Why a stream cannot be filtered (engine/stream/handler.ts, UnsupportedReason). */
  readonly reason?: string | undefined;
  /** The code of the other engine's error. */
  readonly peerCode?: string;
  /** The destination vouches that the target will never run. */
  readonly targetNeverRuns?: boolean;
}

export class CodedError<Area extends ErrorArea = ErrorArea> extends Error {
  readonly area: Area;
  readonly code: ErrorCodes[Area];
  declare readonly host?: string;
  declare readonly command?: string;
  declare readonly exitCode?: number | undefined;
  declare readonly reason?: string | undefined;
  declare readonly peerCode?: string;
  declare readonly targetNeverRuns?: boolean;

  constructor(area: Area, code: ErrorCodes[Area], message: string, { cause, ...details }: ErrorDetails = {}) {
    super(message, cause === undefined ? undefined : { cause });
    // No property of the prototype's: it would be printed with every error.
    Object.defineProperty(this, 'name', { value: nameOf(area), configurable: true });
    this.area = area;
    this.code = code;
    Object.assign(this, details);
  }
}

/** `guest-image` is "GuestImageError" where an error is printed. */
function nameOf(area: string): string {
  const words = area.split('-').map((word) => word.charAt(0).toUpperCase() + word.slice(1));
  return `${words.join('')}Error`;
}

/** Whether it is an error of this area, and of this code where one is given. */
export function isCoded<Area extends ErrorArea>(
  error: unknown,
  area: Area,
  code?: ErrorCodes[Area],
): error is CodedError<Area> {
  return error instanceof CodedError && error.area === area && (code === undefined || error.code === code);
}
