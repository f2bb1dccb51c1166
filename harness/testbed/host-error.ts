import { CodedError } from '../../foundation/coded-error.ts';
import type { ErrorCodes } from '../../foundation/error-codes.ts';
import type { HostName } from './host.ts';

interface FailedCommand {
  readonly host: HostName | 'guest';
  readonly command: string;
  readonly exitCode?: number | undefined;
  /** Last lines of what the command printed. */
  readonly output: string;
  readonly cause?: unknown;
}

/** Something that was to be done on a host failed. The message names host, command and its last lines of output. */
export function hostError(code: ErrorCodes['host'], failed: FailedCommand): CodedError<'host'> {
  const { host, command, exitCode, output, cause } = failed;
  const what = exitCode === undefined ? code : `exit code ${exitCode}`;
  const tail = output.trim() === '' ? '' : `\n${output.trim()}`;
  const message = `on ${host}: ${what}: ${shorten(command)}${tail}`;
  return new CodedError('host', code, message, { host, command, exitCode, cause });
}

/** `MYSQL_PWD='…'`, `--mysql-password=…`: errors are shown and recorded. */
const secret = /([\w-]*(?:pwd|password)[\w-]*=)(?:'(?:[^']|'\\'')*'|\S+)/gi;

/** Scripts are long; their first lines tell which one it was. */
function shorten(command: string): string {
  const line = command.trim().replace(/\s+/g, ' ').replace(secret, '$1…');
  return line.length <= 160 ? line : `${line.slice(0, 160)}…`;
}
