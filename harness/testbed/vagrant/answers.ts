/** What Vagrant and its machines say of themselves. Pure. */
import { CodedError } from '../../../foundation/coded-error.ts';
import { type HostName, hostNames } from '../host.ts';

export interface SshAccess {
  readonly address: string;
  readonly port: number;
  readonly user: string;
  readonly identityFile: string;
  /** Where libvirt runs on another machine. */
  readonly proxyCommand?: string;
}

/**
 * Reads `vagrant ssh-config`: how each machine is entered. What it says of host keys (that they do not matter) is left out.
 * @throws CodedError 'vagrant', 'bad-answer' that names the machine that is missing or incomplete
 */
export function parseSshConfig(output: string): Readonly<Record<HostName, SshAccess>> {
  const machines = new Map<string, Map<string, string>>();
  let current = new Map<string, string>();
  for (const line of output.split('\n')) {
    const [, key, rest] = /^\s*([A-Za-z]+)\s+(.+?)\s*$/.exec(line) ?? [];
    if (key === undefined || rest === undefined) continue;
    // A path with blanks stands in quotes.
    const value = rest.replace(/^"(.*)"$/, '$1');
    if (key === 'Host') machines.set(value, (current = new Map<string, string>()));
    // As ssh has it, the first of several holds.
    else if (!current.has(key)) current.set(key, value);
  }
  const accessOf = (name: HostName): SshAccess => {
    const entry = machines.get(name);
    if (entry === undefined)
      throw new CodedError('vagrant', 'bad-answer', `"vagrant ssh-config" has no machine ${name}`);
    const value = (key: string): string => {
      const text = entry.get(key);
      if (text === undefined)
        throw new CodedError('vagrant', 'bad-answer', `"vagrant ssh-config" has no ${key} for ${name}`);
      return text;
    };
    const proxyCommand = entry.get('ProxyCommand');
    return {
      address: value('HostName'),
      port: Number(value('Port')),
      user: value('User'),
      identityFile: value('IdentityFile'),
      ...(proxyCommand === undefined ? {} : { proxyCommand }),
    };
  };
  return Object.fromEntries(hostNames.map((name) => [name, accessOf(name)])) as Record<HostName, SshAccess>;
}

/** A machine's host key, and its interfaces by hardware address. */
export interface MachineAnswer {
  readonly hostKey: string;
  readonly interfaces: ReadonlyMap<string, string>;
}

/** Run on each machine. A bridge has the address of one of its ports, and is not meant. */
export const machineQuestion = `echo "host-key $(cut -d ' ' -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub)"
for interface in /sys/class/net/*; do
  [ -e "$interface/bridge" ] || echo "interface $(cat "$interface/address") $(basename "$interface")"
done`;

/** @throws CodedError 'vagrant', 'bad-answer' */
export function parseMachineAnswer(name: HostName, output: string): MachineAnswer {
  // `vagrant ssh` gives the command a terminal, which ends lines with a carriage return.
  const lines = output.split(/\r?\n/);
  const hostKey = lines
    .map((line) => /^host-key (ssh-ed25519 [A-Za-z0-9+/=]+)$/.exec(line)?.[1])
    .find((key) => key !== undefined);
  if (hostKey === undefined)
    throw new CodedError(
      'vagrant',
      'bad-answer',
      `${name} does not tell its host key; it said:\n${output.slice(-500)}`,
    );
  const interfaces = lines.flatMap((line): [string, string][] => {
    const [, mac, interfaceName] = /^interface ([\da-f:]{17}) (\S+)$/.exec(line) ?? [];
    return mac === undefined || interfaceName === undefined ? [] : [[mac, interfaceName]];
  });
  return { hostKey, interfaces: new Map(interfaces) };
}
