/** How Vagrant is called. */
import { $, type Shell } from 'zx';

/**
 * `vagrant` takes the words after "vagrant", and tells the exit code rather than throw: 127 where Vagrant is not
 * installed. Vagrant is told to end when this process does, however it does.
 * @param folder with the Vagrantfile
 */
export function vagrantCommand(folder: string): Shell {
  return $({
    cwd: folder,
    env: { ...process.env, VAGRANT_CHECKPOINT_DISABLE: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    // Ctrl-C in a terminal reaches Vagrant, as it reaches us.
    detached: false,
    nothrow: true,
    quiet: true,
    prefix: 'exec setpriv --pdeathsig TERM vagrant ',
  });
}
