/** What the report cannot do, told apart by `code`. */
export type ReportErrorCode =
  /** A folder holds no runs, or a file of a run is not what docs/measurements.md says. */
  | 'not-readable'
  /** Runs were made under conditions that do not go together. */
  | 'different-conditions'
  /** A figure could not be drawn. */
  | 'not-drawn'
  /** README.md has no place for what it is to show. */
  | 'no-block';

export class ReportError extends Error {
  override readonly name = 'ReportError';
  readonly code: ReportErrorCode;

  constructor(code: ReportErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
