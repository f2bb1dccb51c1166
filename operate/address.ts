/** Where hosts and QEMUs are, as the command line names them. Pure. */
import { CodedError } from '../foundation/coded-error.ts';

/** How a host's shell is reached: undefined where it is this machine. */
export interface SshTarget {
  readonly host: string;
  readonly user?: string;
  readonly port?: number;
}

/** A libvirt connection, and the host behind it. */
interface LibvirtAddress {
  readonly uri: string;
  readonly ssh: SshTarget | undefined;
}

/**
 * Reads a libvirt URI: `qemu:///system` of this machine, or `qemu+ssh://[USER@]HOST[:PORT]/system`. The engines are started by
 * ssh, so that no other transport says enough.
 *
 * @throws CodedError 'command', 'usage'
 */
export function libvirtAddress(uri: string): LibvirtAddress {
  const url = URL.canParse(uri) ? new URL(uri) : undefined;
  if (url?.pathname === '/system' && url.protocol === 'qemu:' && url.host === '')
    return { uri, ssh: undefined };
  if (url?.pathname === '/system' && url.protocol === 'qemu+ssh:' && url.hostname !== '')
    return { uri, ssh: sshTargetOf(url) };
  throw usage(`${uri} is neither qemu:///system nor qemu+ssh://[USER@]HOST[:PORT]/system`);
}

/** A QMP socket, and the host that it is on. */
interface QmpAddress {
  readonly path: string;
  readonly ssh: SshTarget | undefined;
}

/** Reads `/run/a.qmp` or `ssh://[USER@]HOST[:PORT]/run/a.qmp`. @throws CodedError 'command', 'usage' */
export function qmpAddress(text: string): QmpAddress {
  if (text.startsWith('/')) return { path: text, ssh: undefined };
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'ssh:' && url.hostname !== '' && url.pathname.length > 1) {
    // A path has no query.
    const path = decoded(`${url.pathname}${url.search}${url.hash}`);
    if (path !== undefined) return { path, ssh: sshTargetOf(url) };
  }
  throw usage(`${text} is neither a path nor ssh://[USER@]HOST[:PORT]/PATH of a QMP socket`);
}

/** Undefined where "%" stands before something else than a byte. */
function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function sshTargetOf(url: URL): SshTarget {
  // ssh takes what begins with "-" for an option.
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const user = decoded(url.username) ?? '-';
  if (host.startsWith('-') || user.startsWith('-')) throw usage(`${url.href}: no such host or user`);
  return {
    host,
    ...(user === '' ? {} : { user }),
    ...(url.port === '' ? {} : { port: Number(url.port) }),
  };
}

function usage(message: string): CodedError<'command'> {
  return new CodedError('command', 'usage', message);
}
