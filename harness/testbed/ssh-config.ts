/** ssh configuration of a testbed: own keys and known hosts, nothing of the user's. Pure. */

export interface SshEntry {
  /** Name by which the harness knows the machine. */
  readonly alias: string;
  readonly address: string;
  readonly port?: number | undefined;
  readonly user: string;
  readonly identityFile?: string | undefined;
  /** Socket of an ssh agent, or SSH_AUTH_SOCK for the one of the environment. */
  readonly identityAgent?: string | undefined;
  /**
   * Where the machine's host key stands: under the alias in the testbed's own known_hosts, under its address there, or
   * under its address in a file.
   */
  readonly hostKey:
    | { readonly kind: 'alias' }
    | { readonly kind: 'address' }
    | { readonly kind: 'file'; readonly path: string };
  readonly proxyCommand?: string | undefined;
  /** Alias of the machine through which this one is reached. */
  readonly proxyJump?: string | undefined;
  /**
   * An emulated guest: it takes its time to answer, and each command connects anew, as the guest may be another one, or gone,
   * while a connection that was kept would not know.
   */
  readonly isGuest?: boolean | undefined;
}

/** ssh splits at blanks and expands "%". */
const word = (text: string): string => `"${text.replaceAll('%', '%%')}"`;

function entryLines(entry: SshEntry): string {
  const { alias, identityFile, identityAgent, hostKey, proxyCommand, proxyJump, isGuest } = entry;
  const lines = [
    `HostName ${entry.address}`,
    ...(entry.port === undefined ? [] : [`Port ${entry.port}`]),
    `User ${entry.user}`,
    // Without a file only what the agent has: else ssh would try the keys in ~/.ssh.
    ...(identityFile === undefined
      ? ['IdentityFile none']
      : [`IdentityFile ${word(identityFile)}`, 'IdentitiesOnly yes']),
    `IdentityAgent ${identityAgent ?? 'none'}`,
    ...(hostKey.kind === 'alias' ? [`HostKeyAlias ${alias}`] : []),
    ...(hostKey.kind === 'file' ? [`UserKnownHostsFile ${word(hostKey.path)}`] : []),
    ...(proxyCommand === undefined ? [] : [`ProxyCommand ${proxyCommand}`]),
    ...(proxyJump === undefined ? [] : [`ProxyJump ${proxyJump}`]),
    ...(isGuest === true
      ? ['ControlMaster no', 'ControlPath none', 'ConnectTimeout 60', 'ServerAliveCountMax 12']
      : []),
  ];
  return `Host ${alias}\n${lines.map((line) => `  ${line}\n`).join('')}`;
}

/**
 * @param folder holds the testbed's known_hosts and the sockets of its connections; socket paths must stay below 108
 * bytes. A host whose key is unknown or another is never talked to.
 */
export function sshConfig(folder: string, entries: readonly SshEntry[]): string {
  return `${entries.map(entryLines).join('')}Host *
  UserKnownHostsFile ${word(`${folder}/known_hosts`)}
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  UpdateHostKeys no
  BatchMode yes
  LogLevel ERROR
  ConnectTimeout 5
  ServerAliveInterval 10
  ControlMaster auto
  ControlPath ${folder}/m-%n
  ControlPersist 600
`;
}
