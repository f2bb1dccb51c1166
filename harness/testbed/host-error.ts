import type { HostName } from './host.ts';

export type HostErrorCode = 'command-failed' | 'timeout' | 'unreachable' | 'copy-failed' | 'forward-failed';

export interface HostErrorDetails {
  readonly host: HostName;
  readonly command: string;
  readonly exitCode?: number | undefined;
  /** Last lines of what the command printed. */
  readonly output: string;
  readonly cause?: unknown;
}

/** Something that was to be done on a host failed. The message names host, command and its last lines of output. */
export class HostError extends Error {
  override readonly name = 'HostError';
  readonly code: HostErrorCode;
  readonly host: HostName;
  readonly command: string;
  readonly exitCode: number | undefined;

  constructor(code: HostErrorCode, details: HostErrorDetails) {
    const { host, command, exitCode, output, cause } = details;
    const what = exitCode === undefined ? code : `exit code ${exitCode}`;
    const tail = output.trim() === '' ? '' : `\n${output.trim()}`;
    super(`on ${host}: ${what}: ${shorten(command)}${tail}`, { cause });
    this.code = code;
    this.host = host;
    this.command = command;
    this.exitCode = exitCode;
  }
}

/** `MYSQL_PWD='…'`, `--mysql-password=…`: errors are shown and recorded. */
const secret = /([\w-]*(?:pwd|password)[\w-]*=)(?:'(?:[^']|'\\'')*'|\S+)/gi;

/** Scripts are long; their first lines tell which one it was. */
function shorten(command: string): string {
  const line = command.trim().replace(/\s+/g, ' ').replace(secret, '$1…');
  return line.length <= 160 ? line : `${line.slice(0, 160)}…`;
}
