/** The guest's own shell, over ssh: its server comes up a little after the database's (guest/image/guest-init.sh). */
import { setTimeout as sleep } from 'node:timers/promises';
import { isCoded } from '../../foundation/coded-error.ts';
import type { Host, Testbed } from '../testbed/host.ts';
import { hostOf, type VmPlace } from './vm-place.ts';

const readyTimeoutMs = 120_000;
const askAgainMs = 500;

/**
 * Waits until the guest lets somebody in, who runs commands there from then on.
 * @throws CodedError 'host' if it does not within two minutes; the signal's reason when it aborts
 */
export async function openGuestShell(
  { guest, guestAddress }: Pick<Testbed, 'guest' | 'guestAddress'>,
  vm: VmPlace,
  signal: AbortSignal,
): Promise<Pick<Host, 'run'>> {
  const shell = guest(hostOf(vm, guestAddress));
  const deadlineMs = performance.now() + readyTimeoutMs;
  for (;;) {
    signal.throwIfAborted();
    try {
      await shell.run('true');
      return shell;
    } catch (error) {
      if (!isCoded(error, 'host') || performance.now() > deadlineMs) throw error;
      await sleep(askAgainMs, undefined, { signal });
    }
  }
}
