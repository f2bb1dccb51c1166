import { CodedError } from '../../foundation/coded-error.ts';

export function malformed(what: string, cause?: unknown): CodedError<'page-list'> {
  return new CodedError('page-list', 'malformed', `not a valid page list: ${what}`, { cause });
}
