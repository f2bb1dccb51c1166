/** Whether the QEMUs of the hosts can do what an engine asks for, found out before anything is booted. */
import { CodedError } from '../../../foundation/coded-error.ts';
import type { Engine } from '../../../experiments/engines.ts';
import type { Testbed } from '../../testbed/host.ts';
import { quote } from '../../../foundation/shell.ts';
import { probeArguments, refusalIn, settingLines } from '../../../qemu/settings-probe.ts';
import { qemuSettings } from './qemu-settings.ts';

/**
 * Asks a QEMU on src and one on dst, which takes less than a second.
 * @throws CodedError 'run', 'engine-unavailable' with QEMU's reason; CodedError 'host' where QEMU does not start
 */
export async function requireQemuSupport(
  engine: Engine,
  hosts: Pick<Testbed['hosts'], 'src' | 'dst'>,
  downtimeLimitMs: number,
  qemu?: readonly string[],
): Promise<void> {
  if (engine.kind === 'restart') return;
  const settings = qemuSettings(engine, { downtimeLimitMs, migrationGoodputBytesPerSecond: 1e6 });
  for (const name of ['src', 'dst'] as const) {
    const command = [...(qemu ?? [hosts[name].qemuBinary]), ...probeArguments(name === 'dst')];
    const { stdout } = await hosts[name].run(command.map(quote).join(' '), {
      input: settingLines(settings),
      timeoutMs: 30_000,
    });
    const refusal = refusalIn(stdout);
    if (refusal !== undefined)
      throw new CodedError(
        'run',
        'engine-unavailable',
        `QEMU on ${name} does not offer this method: ${refusal}`,
      );
  }
}
