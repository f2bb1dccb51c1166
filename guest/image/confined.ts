/**
 * Runs the tools that build an image in mount and PID namespaces of their own: what they mount is not seen outside,
 * and when this process is killed, so are they, with everything they started.
 */
import { createInterface } from 'node:readline';
import { $, type ProcessOutput } from 'zx';
import { CodedError } from '../../foundation/coded-error.ts';
import type { Log } from '../../scripts/cache.ts';

interface ConfinedOptions {
  /** Gets standard error as it comes. */
  readonly log: Log;
  /** Whether the command sees this machine's network. Default: only a loopback that is down. */
  readonly network?: boolean;
}

/**
 * zx's `$` for one command, without pipes, lists and redirections, as these would be outside.
 * @throws CodedError 'guest-image', 'command-failed'
 */
type ConfinedCommand = (
  pieces: TemplateStringsArray,
  ...words: readonly (string | number | readonly string[])[]
) => Promise<ProcessOutput>;

const shownErrorLines = 15;

export function confined({ log, network = false }: ConfinedOptions): ConfinedCommand {
  const namespaces = ['--mount', '--pid', '--fork', '--kill-child=KILL', '--mount-proc'];
  if (!network) namespaces.push('--net');
  const run = $({
    nothrow: true,
    quiet: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' },
    // The shell gives way, so that we are the parent with which the command dies.
    prefix: `exec setpriv --pdeathsig KILL unshare ${namespaces.join(' ')} `,
  });
  return async (pieces, ...words) => {
    const child = run(pieces, ...words);
    createInterface({ input: child.stderr }).on('line', log);
    const output = await child;
    if (output.exitCode === 0) return output;
    const command = /^\S*/.exec(pieces[0] ?? '')?.[0] ?? '';
    const lastLines = `${output.stdout}${output.stderr}`
      .trim()
      .split('\n')
      .slice(-shownErrorLines)
      .join('\n');
    throw new CodedError('guest-image', 'command-failed', `${command} failed:\n${lastLines}`, {
      cause: output,
    });
  };
}
