export type PageListErrorCode = 'malformed' | 'too-large' | 'unsupported-version' | 'unsorted';

/** A page list that cannot be read or written. */
export class PageListError extends Error {
  override readonly name = 'PageListError';
  readonly code: PageListErrorCode;

  constructor(code: PageListErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

export function malformed(what: string, cause?: unknown): PageListError {
  return new PageListError('malformed', `not a valid page list: ${what}`, cause);
}
