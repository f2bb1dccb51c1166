/** A VM kept in a file of its host, as QEMU's own stream: what was booted and warmed once begins again within seconds. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '../../foundation/coded-error.ts';
import type { QmpClient } from '../../qemu/qmp/client.ts';

const pollMs = 50;
const announcements = { initial: 20, max: 200, rounds: 5, step: 40 };

/**
 * Stops the VM and writes it to the file. Its disk must be kept as it is then.
 * @throws CodedError 'qmp', CodedError 'vm', 'not-kept'; the signal's reason when it aborts
 */
export async function keepVm(qmp: QmpClient, file: string, signal: AbortSignal): Promise<void> {
  await qmp.execute('stop');
  await qmp.execute('migrate-set-parameters', { 'max-bandwidth': 100e9 });
  await qmp.execute('migrate', { uri: `file:${file}` });
  await completed(qmp, signal);
}

/**
 * Has a VM that waits for a migration (role `target`) go on as the one that was kept, and tells the network where it is.
 * @throws CodedError 'qmp', CodedError 'vm', 'not-kept'; the signal's reason when it aborts
 */
export async function continueKeptVm(qmp: QmpClient, file: string, signal: AbortSignal): Promise<void> {
  await qmp.execute('migrate-incoming', { uri: `file:${file}` });
  await completed(qmp, signal);
  await qmp.execute('cont');
  await qmp.execute('announce-self', announcements);
}

async function completed(qmp: QmpClient, signal: AbortSignal): Promise<void> {
  for (;;) {
    const info = await qmp.execute('query-migrate');
    if (info.status === 'completed') return;
    if (info.status === 'failed')
      throw new CodedError(
        'vm',
        'not-kept',
        `the kept guest: ${info['error-desc'] ?? 'QEMU gives no reason'}`,
      );
    await sleep(pollMs, undefined, { signal });
  }
}
