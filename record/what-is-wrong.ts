import { z } from 'zod';
import { isCoded } from '../foundation/coded-error.ts';

/** In one line: what could not be read or written, and why; why a file is not as described: of all that a schema finds, the first. */
export function whatIsWrong(error: unknown): string {
  if (isCoded(error, 'record') && error.cause !== undefined)
    return `${error.message}: ${whatIsWrong(error.cause)}`;
  if (!(error instanceof z.ZodError)) return error instanceof Error ? error.message : String(error);
  const [issue] = error.issues;
  return `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`.replace(/^: /, '');
}
