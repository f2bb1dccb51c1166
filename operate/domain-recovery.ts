/** `poolshift recover DOMAIN DEST`: a domain of libvirt. */
import { CodedError } from '../foundation/coded-error.ts';
import { socketFolder, withHosts } from './domain-migration.ts';
import { askIdentity, type DomainIdentity } from './facts.ts';
import { type OperatedHost } from './host.ts';
import { quote } from '../foundation/shell.ts';
import { plainName } from './launch.ts';
import { domainReason, domainState, unreachedLibvirts } from './libvirt-driver.ts';
import { connectTo } from './monitor.ts';
import { type Look, type RecoveryEnd, recoverMove } from './recovery.ts';
import type { Reporter } from './report.ts';

export interface DomainRecoveryOptions {
  readonly connect: string;
  readonly engine: string;
  /** libvirt at the destination is stopped for a moment. */
  readonly restartLibvirt?: true;
  /** The source is lost. */
  readonly fromStorage?: true;
}

/** Throws as `recoverMove` does. */
export async function recoverDomain(
  domain: string,
  destinationUri: string,
  { connect, engine, restartLibvirt, fromStorage }: DomainRecoveryOptions,
  reporter: Reporter,
  onInterrupt: (listener: () => void) => void,
): Promise<RecoveryEnd> {
  const isLost = fromStorage === true;
  return withHosts(connect, destinationUri, reporter, async ({ source, destination }) => {
    const hosts = { source: isLost ? undefined : source, destination };
    const { name, uuid } = await identityOn(isLost ? [destination] : [source, destination], domain);
    return recoverMove(
      {
        ...{ vm: name, hosts, engine },
        targetSocket: `${socketFolder}/poolshift-${plainName(name)}-recovery.sock`,
        look: () =>
          lookAtDomain({ name, uuid }, { source: isLost ? undefined : connect, destination: destinationUri }),
        tellTarget: async (uri) => {
          if (restartLibvirt !== true)
            throw new CodedError(
              'recovery',
              'libvirt-in-the-way',
              `libvirt on ${hosts.destination.name} blocks access to the QEMU of ${name} while its migration is broken: --restart-libvirt stops it there ` +
                'for a moment. VMs run on; virsh does not answer meanwhile, and other migrations of that host break',
            );
          await tellBehindLibvirt(hosts.destination, name, uri);
        },
        endsSource: isLost ? undefined : `virsh -c ${connect} destroy ${uuid}`,
      },
      reporter,
      onInterrupt,
    );
  });
}

/**
 * @param uris without the source's where that is lost: then its memory is not read
 * @throws CodedError 'host' where libvirt does not say it: memory of a VM that may run is read by nobody
 */
export async function lookAtDomain(
  { name, uuid }: DomainIdentity,
  uris: { readonly source: string | undefined; readonly destination: string },
): Promise<Look> {
  const asked = [uris.source, uris.destination].filter((uri) => uri !== undefined);
  const [unreached] = await unreachedLibvirts(asked);
  if (unreached !== undefined)
    throw new CodedError(
      'host',
      'unreachable',
      `virsh does not reach ${unreached.uri} from here: ${unreached.says}`,
    );
  const atSource = uris.source === undefined ? undefined : await domainState(uris.source, uuid);
  if (uris.source !== undefined && atSource === 'unknown')
    throw new CodedError(
      'host',
      'command-failed',
      `libvirt does not say whether ${name} runs at the source: virsh -c ${uris.source} domstate ${name}`,
    );
  return {
    runsAtSource: atSource === 'running',
    targetMigration: migrationOf(await domainReason(uris.destination, uuid)),
  };
}

/** Of the first host that has such a domain. @throws CodedError 'host', 'command' */
async function identityOn(hosts: readonly OperatedHost[], word: string): Promise<DomainIdentity> {
  for (const host of hosts) {
    const identity = await askIdentity(host, word);
    if (identity.uuid !== '') return identity;
  }
  throw new CodedError('command', 'usage', `neither host has a domain ${word}: virsh list --all`);
}

/** In QEMU's words, what libvirt gives as the reason of a domain's state. Pure. */
export function migrationOf(reason: string): string {
  switch (reason) {
    case 'post-copy failed':
      return 'postcopy-paused';
    case 'post-copy':
      return 'postcopy-active';
    case 'migrated':
      return 'completed';
    default:
      return reason === '' ? 'none' : reason;
  }
}

/** Whatever becomes of this command or of its way to the host, libvirt is started there again after so long. */
const restartSeconds = 30;

/**
 * libvirt has the only connection to QEMU's monitor, and keeps its own commands back, too: it is stopped, its units started again
 * however that ends. @throws CodedError 'host', 'qmp'
 */
async function tellBehindLibvirt(host: OperatedHost, name: string, uri: string): Promise<void> {
  const found = await host.run(`set -eu
units=$(systemctl list-units --plain --no-legend --state=active 'libvirtd*' 'virtqemud*' | awk '{ print $1 }')
pid=$(cat ${quote(`/run/libvirt/qemu/${name}.pid`)})
monitor=$(ss -Hxlp | grep -F "pid=$pid," | grep -o '/.*/monitor\\.sock' | head -n 1)
[ -n "$units" ] || { echo 'no unit of libvirt is active here' >&2; exit 1; }
[ -n "$monitor" ] || { echo "no monitor of process $pid is to be seen" >&2; exit 1; }
printf '%s\\n' "$monitor"
echo $units`);
  const [monitor = '', units = ''] = found.split('\n');
  // Whether it can be reached is seen before libvirt is stopped for it.
  const forwarded = await host.forwardSocket(monitor, 'monitor');
  try {
    await host.run(`set -eu
systemd-run --quiet --collect --on-active=${restartSeconds} --timer-property=AccuracySec=1s systemctl start ${units}
systemctl stop ${units}`);
    const qemu = await connectTo(host, monitor, forwarded.path);
    try {
      await qemu.execute('migrate-recover', { uri }, { outOfBand: true });
    } finally {
      qemu.close();
    }
  } finally {
    await host.run(`systemctl start ${units}`);
    await forwarded.stop();
  }
}
