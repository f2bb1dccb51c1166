/**
 * Runs the tools that build an image in mount and PID namespaces of their own: what they mount is not seen outside,
 * and when this process is killed, so are they, with everything they started.
 */
import { createInterface } from 'node:readline';
import { ExecaError, execa } from 'execa';
import { CodedError } from '../../foundation/coded-error.ts';
import type { Log } from '../../setup/cache.ts';

export interface ConfinedOptions {
  readonly log: Log;
  /** Whether the command sees this machine's network. Default: only a loopback that is down. */
  readonly network?: boolean;
  readonly environment?: Readonly<Record<string, string>>;
}

const shownErrorLines = 15;

/**
 * @returns standard output
 * @throws CodedError 'guest-image', 'command-failed'
 */
export async function runConfined(
  command: string,
  commandArguments: readonly string[],
  { log, network = false, environment = {} }: ConfinedOptions,
): Promise<string> {
  const namespaces = ['--mount', '--pid', '--fork', '--kill-child=KILL', '--mount-proc'];
  if (!network) namespaces.push('--net');
  const child = execa(
    'setpriv',
    ['--pdeathsig', 'KILL', 'unshare', ...namespaces, command, ...commandArguments],
    { stdin: 'ignore', env: { DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8', ...environment } },
  );
  createInterface({ input: child.stderr }).on('line', log);
  try {
    return (await child).stdout;
  } catch (error) {
    const output =
      error instanceof ExecaError ? `${String(error.stdout)}\n${String(error.stderr)}` : String(error);
    const lastLines = output.trim().split('\n').slice(-shownErrorLines).join('\n');
    throw new CodedError('guest-image', 'command-failed', `${command} failed:\n${lastLines}`, {
      cause: error,
    });
  }
}
