/** Whether the QEMUs of the hosts can do what an engine asks for, found out before anything is booted. */
import type { Engine } from '../../../experiments/engines.ts';
import type { Testbed } from '../../testbed/host.ts';
import { quote } from '../../testbed/ssh-host.ts';
import { probeArguments, refusalIn, settingLines } from '../../../qemu/settings-probe.ts';
import { qemuSettings } from './qemu-settings.ts';

/** The engine cannot run on these hosts, ever: nothing failed, and nothing was measured. */
export class EngineUnavailableError extends Error {
  override readonly name = 'EngineUnavailableError';
}

/**
 * Asks a QEMU on src and one on dst, which takes less than a second.
 * @throws EngineUnavailableError with QEMU's reason; HostError where QEMU does not start
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
      throw new EngineUnavailableError(`QEMU on ${name} does not offer this engine: ${refusal}`);
  }
}
