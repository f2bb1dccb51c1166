/** Whether a QEMU takes settings of a migration, asked of one without a machine: what was compiled in, and what its host permits. */
import { type MigrationCapability, type MigrationParameters, parseMessage } from './qmp/messages.ts';

export interface MigrationSettings {
  readonly capabilities: readonly { readonly capability: MigrationCapability; readonly state: boolean }[];
  readonly parameters: MigrationParameters;
}

const commands = ['qmp_capabilities', 'migrate-set-capabilities', 'migrate-set-parameters', 'quit'] as const;

/**
 * Arguments of the QEMU that is asked, on its standard input. Some of what settings need, such as userfaultfd for post-copy,
 * only one that waits for a migration looks at.
 */
export function probeArguments(waits: boolean): readonly string[] {
  const alone = ['-nodefaults', '-no-user-config', '-display', 'none', '-machine', 'none', '-S'];
  return [...alone, '-qmp', 'stdio', ...(waits ? ['-incoming', 'defer'] : [])];
}

/** QMP commands, a line each, that set what is needed and end QEMU. */
export function settingLines({ capabilities, parameters }: MigrationSettings): string {
  const arguments_ = [undefined, { capabilities }, parameters, undefined];
  return commands
    .map((execute, id) => `${JSON.stringify({ execute, arguments: arguments_[id], id })}\n`)
    .join('');
}

/**
 * QEMU's first refusal in its answers to `settingLines`, or undefined when it accepted all.
 * @throws CodedError 'qmp', 'protocol' where a line is not QMP
 */
export function refusalIn(answers: string): string | undefined {
  for (const line of answers.split('\n').filter((text) => text.trim() !== '')) {
    const message = parseMessage(line, 0);
    if (message.kind === 'refusal')
      return `${commands[message.id ?? -1] ?? 'a command'}: ${message.reason.trim()}`;
  }
  return undefined;
}
