import { listLimits } from '../../engine/list/page-list-metadata.ts';
import type { ListFailure } from '../../engine/list/page-list.ts';
import { GuestError } from './guest-error.ts';

/** What went wrong with a program, or with looking for programs of a kind. */
export function failureOf(program: string, error: unknown): ListFailure {
  const code = error instanceof GuestError ? error.code : 'internal';
  const message = error instanceof Error ? error.message : String(error);
  return {
    program: program.slice(0, listLimits.failureText),
    code,
    message: message.slice(0, listLimits.failureText),
  };
}
