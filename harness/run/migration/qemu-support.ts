/** Whether the QEMUs of the hosts can do what an engine asks for, found out before anything is booted. */
import type { Engine } from '../../../experiments/engines.ts';
import type { Host, Testbed } from '../../testbed/host.ts';
import { quote } from '../../testbed/ssh-host.ts';
import { parseMessage } from '../../vm/qmp-messages.ts';
import { type QemuSettings, qemuSettings } from './qemu-settings.ts';

/** The engine cannot run on these hosts, ever: nothing failed, and nothing was measured. */
export class EngineUnavailableError extends Error {
  override readonly name = 'EngineUnavailableError';
}

const commands = ['qmp_capabilities', 'migrate-set-capabilities', 'migrate-set-parameters', 'quit'] as const;

/** QMP commands, a line each, that set what the engine needs and end QEMU. */
export function settingLines({ capabilities, parameters }: QemuSettings): string {
  const arguments_ = [undefined, { capabilities }, parameters, undefined];
  return commands
    .map((execute, id) => `${JSON.stringify({ execute, arguments: arguments_[id], id })}\n`)
    .join('');
}

/**
 * QEMU's first refusal in its answers to `settingLines`, or undefined when it accepted all.
 * @throws QmpError 'protocol' where a line is not QMP
 */
export function refusalIn(answers: string): string | undefined {
  for (const line of answers.split('\n').filter((text) => text.trim() !== '')) {
    const message = parseMessage(line, 0);
    if (message.kind === 'refusal')
      return `${commands[message.id ?? -1] ?? 'a command'}: ${message.reason.trim()}`;
  }
  return undefined;
}

/**
 * A QEMU without a machine knows what was compiled in, and what this host permits. Some of it, such as userfaultfd for
 * post-copy, only a QEMU that waits for a migration looks at.
 */
async function refusalOn(
  host: Host,
  waits: boolean,
  settings: QemuSettings,
  qemu: string,
): Promise<string | undefined> {
  const incoming = waits ? ' -incoming defer' : '';
  const { stdout } = await host.run(
    `${qemu} -nodefaults -no-user-config -display none -machine none -S -qmp stdio${incoming}`,
    { input: settingLines(settings), timeoutMs: 30_000 },
  );
  return refusalIn(stdout);
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
    const command = (qemu ?? [hosts[name].qemuBinary]).map(quote).join(' ');
    const refusal = await refusalOn(hosts[name], name === 'dst', settings, command);
    if (refusal !== undefined)
      throw new EngineUnavailableError(`QEMU on ${name} does not offer this engine: ${refusal}`);
  }
}
