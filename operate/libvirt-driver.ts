/** A migration that libvirt carries out: `virsh`, which is run where this command is. */
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { CodedError } from '../foundation/coded-error.ts';
import type { VmState } from './course.ts';
import type { JobFigures } from './progress.ts';
import type { Driver } from './run-migration.ts';

interface VirshMigration {
  /** Its uuid: a name may be another domain's id. */
  readonly domain: string;
  readonly sourceUri: string;
  readonly destinationUri: string;
  /** `unix://` where libvirt on both hosts finds an engine; undefined for what libvirt takes by itself. */
  readonly migrateUri?: string;
  readonly p2p: boolean;
  readonly persistent: boolean;
  readonly undefineSource: boolean;
  /** It waits at the destination for somebody to continue it. */
  readonly suspend: boolean;
  /** As virsh has them. */
  readonly bandwidthMibPerSecond?: number;
  readonly switchoverMibPerSecond?: number;
  readonly maxDowntimeMs?: number;
  readonly timeoutSeconds?: number;
  /** Early resume: what libvirt calls post-copy, begun as soon as it can be. The engine holds it back. */
  readonly early?: true;
}

/** Arguments of virsh, for the migration alone. Pure. */
export function migrateArguments(migration: VirshMigration): readonly string[] {
  const { migrateUri, bandwidthMibPerSecond, switchoverMibPerSecond, timeoutSeconds } = migration;
  return [
    ...['-c', migration.sourceUri, 'migrate', '--live'],
    ...(migration.p2p ? ['--p2p'] : []),
    ...(migration.persistent ? ['--persistent'] : []),
    ...(migration.undefineSource ? ['--undefinesource'] : []),
    ...(migration.suspend ? ['--suspend'] : []),
    ...(migrateUri === undefined ? [] : ['--migrateuri', migrateUri]),
    ...(bandwidthMibPerSecond === undefined ? [] : ['--bandwidth', String(bandwidthMibPerSecond)]),
    ...(switchoverMibPerSecond === undefined
      ? []
      : ['--available-switchover-bandwidth', String(switchoverMibPerSecond)]),
    ...(timeoutSeconds === undefined ? [] : ['--timeout', String(timeoutSeconds), '--timeout-suspend']),
    ...(migration.early === true ? ['--postcopy', '--timeout', '1', '--timeout-postcopy'] : []),
    ...['--', migration.domain, migration.destinationUri],
  ];
}

/** libvirt tells apart more than matters here (virsh domstate). Pure. */
export function vmStateOf(exitCode: number | undefined, stdout: string): VmState {
  if (exitCode !== 0) return 'unknown';
  switch (stdout.trim()) {
    case 'running':
    case 'idle':
    case 'pmsuspended':
      return 'running';
    case 'shut off':
    case 'crashed':
      return 'ended';
    case 'paused':
      return 'paused';
    default:
      return 'unknown';
  }
}

/** `virsh domjobinfo --rawstats`. Pure. */
export function jobFiguresOf(text: string): JobFigures {
  const read = (name: string): number | undefined => {
    const value = new RegExp(`^\\s*${name}\\s*[:=]\\s*(\\d+)`, 'm').exec(text)?.[1];
    return value === undefined ? undefined : Number(value);
  };
  const pages = read('memory_dirty_rate');
  const figures = {
    remainingBytes: read('memory_remaining'),
    dirtyBytesPerSecond: pages === undefined ? undefined : pages * (read('memory_page_size') ?? 4096),
    downtimeMs: read('downtime'),
  };
  return Object.fromEntries(Object.entries(figures).filter(([, value]) => value !== undefined));
}

const messageOf = (stderr: string): string => stderr.trim().replace(/^error: /, '');

/** Messages go by their text. */
const environment = { LC_ALL: 'C' };
const askMs = 20_000;
/** libvirt continues a VM that has moved early within its round trips to both hosts. */
const continuesMs = 30_000;
const pollMs = 50;

async function virsh(
  words: readonly string[],
  timeoutMs = askMs,
): Promise<{ exitCode: number | undefined; stdout: string; stderr: string }> {
  const { exitCode, stdout, stderr } = await execa('virsh', words, {
    reject: false,
    stdin: 'ignore',
    detached: true,
    timeout: timeoutMs,
    env: environment,
  });
  return { exitCode, stdout, stderr };
}

/** @throws CodedError 'command', 'usage' where this machine has no virsh */
export async function virshCanTellSwitchoverBandwidth(): Promise<boolean> {
  const { exitCode, stdout } = await virsh(['help', 'migrate']);
  if (exitCode !== 0)
    throw new CodedError(
      'command',
      'usage',
      'virsh does not run on this machine: apt-get install libvirt-clients',
    );
  return stdout.includes('--available-switchover-bandwidth');
}

/** @param uuid of the domain. Never rejects. */
export async function domainState(uri: string, uuid: string): Promise<VmState> {
  const { exitCode, stdout } = await virsh(['-c', uri, 'domstate', '--', uuid]);
  const state = vmStateOf(exitCode, stdout);
  return state === 'unknown' && (await isNotListed(uri, uuid)) ? 'ended' : state;
}

/** virsh says "failed to get domain" also where it was not answered: that a domain is not there, only the list of all says. */
async function isNotListed(uri: string, uuid: string): Promise<boolean> {
  const { exitCode, stdout } = await virsh(['-q', '-c', uri, 'list', '--all', '--uuid']);
  return exitCode === 0 && !stdout.split(/\s+/).includes(uuid);
}

/** Those that virsh of this machine does not reach, and what it says. Never rejects. */
export async function unreachedLibvirts(
  uris: readonly string[],
): Promise<readonly { readonly uri: string; readonly says: string }[]> {
  const asked = await Promise.all(uris.map(async (uri) => ({ uri, ...(await virsh(['-c', uri, 'uri'])) })));
  return asked
    .filter(({ exitCode }) => exitCode !== 0)
    .map(({ uri, exitCode, stderr }) => ({
      uri,
      says:
        exitCode === undefined && stderr === ''
          ? 'there is no virsh on this machine (package libvirt-clients), or no answer'
          : messageOf(stderr),
    }));
}

/** Why libvirt says that a domain is in its state: "post-copy failed", "migrated". Never rejects; empty where it does not answer. */
export async function domainReason(uri: string, uuid: string): Promise<string> {
  const { stdout } = await virsh(['-c', uri, 'domstate', '--reason', '--', uuid]);
  return /\((.*)\)/.exec(stdout)?.[1] ?? '';
}

export function libvirtDriver(migration: VirshMigration): Driver {
  const { domain, sourceUri, destinationUri, maxDowntimeMs } = migration;
  const stateAt = (uri: string): Promise<VmState> => domainState(uri, domain);
  const setMaxDowntime = (ms: number) =>
    virsh(['-c', sourceUri, 'migrate-setmaxdowntime', '--', domain, String(ms)]);
  const maxDowntimeAt = async (): Promise<number | undefined> => {
    const { stdout } = await virsh(['-q', '-c', sourceUri, 'migrate-getmaxdowntime', '--', domain]);
    return /^\d+$/.test(stdout.trim()) ? Number(stdout.trim()) : undefined;
  };
  const jobAt = async (uri: string, ...options: readonly string[]): Promise<JobFigures | undefined> => {
    const { exitCode, stdout } = await virsh([
      '-c',
      uri,
      'domjobinfo',
      '--rawstats',
      ...options,
      '--',
      domain,
    ]);
    return exitCode === 0 ? jobFiguresOf(stdout) : undefined;
  };
  return {
    migrate: async () => {
      const before = maxDowntimeMs === undefined ? undefined : await maxDowntimeAt();
      if (maxDowntimeMs !== undefined) {
        const { exitCode, stderr } = await setMaxDowntime(maxDowntimeMs);
        if (exitCode !== 0) return { succeeded: false, says: `virsh: ${messageOf(stderr)}` };
      }
      // Not ended with this command: libvirt would abort a migration whose client went away.
      const { exitCode, stderr } = await execa('virsh', migrateArguments(migration), {
        reject: false,
        stdin: 'ignore',
        detached: true,
        cleanup: false,
        env: environment,
      });
      // libvirt keeps it for the next migration. Where the domain is not there any more, nothing is to be put back.
      if (exitCode !== 0 && before !== undefined) await setMaxDowntime(before);
      return { succeeded: exitCode === 0, says: `virsh: ${messageOf(stderr)}` };
    },
    abort: async () => {
      const { exitCode, stderr } = await virsh(['-c', sourceUri, 'domjobabort', '--', domain]);
      if (exitCode !== 0) throw new Error(stderr);
    },
    look: async () => {
      const [source, destination] = await Promise.all([stateAt(sourceUri), stateAt(destinationUri)]);
      return { source, destination };
    },
    job: () => jobAt(sourceUri),
    completed: () => jobAt(destinationUri, '--completed'),
    ...(migration.early === true
      ? {
          early: {
            // Beforehand: a VM that QEMU has stopped itself it lets run on when the source engine dies, beside the target's.
            stopForMove: async () => {
              const { exitCode, stderr } = await virsh(['-c', sourceUri, 'suspend', '--', domain]);
              if (exitCode !== 0)
                throw new CodedError('host', 'command-failed', `virsh suspend: ${messageOf(stderr)}`);
            },
            continueTarget: () => untilRuns(() => stateAt(destinationUri)),
            giveBack: async () => {
              await virsh(['-c', sourceUri, 'resume', '--', domain]);
            },
          },
        }
      : {}),
  };
}

/** @returns when it did @throws CodedError 'host' */
async function untilRuns(state: () => Promise<VmState>): Promise<number> {
  const untilMs = performance.now() + continuesMs;
  while (performance.now() < untilMs) {
    if ((await state()) === 'running') return performance.now();
    await sleep(pollMs);
  }
  throw new CodedError(
    'host',
    'timeout',
    `libvirt at the destination has not continued it for ${continuesMs / 1000} s`,
  );
}
