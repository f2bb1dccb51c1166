/** How Vagrant is called. */
import { $, type Shell } from 'zx';

export interface VagrantOptions {
  /** With the Vagrantfile; the folder of this process by default. */
  readonly folder?: string;
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>> | undefined;
}

/**
 * `vagrant` takes the words after "vagrant", and tells the exit code rather than throw: 127 where Vagrant is not
 * installed. Vagrant is told to end when this process does, however it does.
 */
export function vagrantCommand({ folder, env }: VagrantOptions): Shell {
  return $({
    ...(folder === undefined ? {} : { cwd: folder }),
    env: { ...process.env, VAGRANT_CHECKPOINT_DISABLE: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // Ctrl-C in a terminal reaches Vagrant, as it reaches us.
    detached: false,
    nothrow: true,
    quiet: true,
    prefix: 'exec setpriv --pdeathsig TERM vagrant ',
  });
}
