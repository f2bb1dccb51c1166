/** Life of the virtual machine on a host: a transient systemd unit, which outlives the ssh session that started it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '../../foundation/coded-error.ts';
import type { Host } from '../testbed/host.ts';
import { makeRunFolder } from '../testbed/ssh-host.ts';
import { quote } from '../../foundation/shell.ts';
import type { DatabaseServer } from '../workload/database-server.ts';
import { runSql } from '../workload/sql-client.ts';
import { qemuArguments, type MachineDescription, type VmPaths } from '../../qemu/machine-arguments.ts';
import { QmpClient } from '../../qemu/qmp/client.ts';
import { firstVm, type VmPlace } from './vm-place.ts';

const socketsOf = ({ controlSocket, recorderSocket, agentSocket }: VmPaths): readonly string[] => [
  controlSocket,
  recorderSocket,
  agentSocket,
];

const greetingMs = 10_000;
/** QEMU answers when its memory is there. No slower machine is expected. */
const prefaultedBytesPerMs = 20_000;

/**
 * Starts the machine and returns a client of its control socket, when QEMU answers there.
 * @param signal nothing is started once it has aborted: who stops the machine then does not wait for one that comes late
 * @throws CodedError 'vm', 'already-running' or 'start-failed'; CodedError 'host'; the signal's reason
 */
export async function startVm(
  host: Host,
  machine: MachineDescription,
  vm: VmPlace = firstVm,
  signal?: AbortSignal,
): Promise<QmpClient> {
  await requireNoVm(host, vm);
  signal?.throwIfAborted();
  const { stdout } = await host.run(startScript(host.qemuBinary, machine, vm.unit));
  const [startedAt = '', ended] = stdout.trim().split('\n');
  try {
    if (ended !== undefined) throw new Error('its QEMU has ended');
    const client = await QmpClient.connect(await host.forwardSocket(machine.paths.controlSocket), {
      timeoutMs: greetingMs + (machine.prefaults === true ? machine.memoryBytes / prefaultedBytesPerMs : 0),
      isThere: async () => (await vmState(host, vm)).kind === 'running',
    });
    return client;
  } catch (error) {
    const journal = await journalSince(host, startedAt, vm);
    await stopVm(host, vm);
    throw new CodedError('vm', 'start-failed', `${host.name}: QEMU did not start:\n${journal}`, {
      host: host.name,
      cause: error,
    });
  }
}

/** @throws CodedError 'vm', 'already-running'; CodedError 'host' */
export async function requireNoVm(host: Host, vm: VmPlace): Promise<void> {
  if ((await vmState(host, vm)).kind === 'running')
    throw new CodedError(
      'vm',
      'already-running',
      `${host.name}: the unit ${vm.unit} is active; stop it first`,
      { host: host.name },
    );
}

/** Prints the time before the start, by the host's clock, and ends when the sockets are there or QEMU is not, which it prints, too. */
function startScript(qemuBinary: string, machine: MachineDescription, unit: string): string {
  const { paths } = machine;
  const command = [qemuBinary, ...qemuArguments(machine)].map(quote).join(' ');
  return `set -eu
${makeRunFolder}
# A left-over RAM file would be the new machine's memory.
rm -f ${[...socketsOf(paths), paths.console, paths.ram].join(' ')}
# QEMU makes it readable for everybody where it is not there.
(umask 077; set -o noclobber; : > ${paths.ram})
date '+%Y-%m-%d %H:%M:%S'
systemctl reset-failed ${unit} 2> /dev/null || true
systemd-run --quiet --collect --unit=${unit} --property=LimitMEMLOCK=infinity --property=OOMScoreAdjust=-100 \\
  --property=TimeoutStopSec=5 --property=UMask=0077 ${command}
for attempt in $(seq 200); do
  [ -S ${paths.recorderSocket} ] && break
  systemctl --quiet is-active ${unit} || { echo ended; break; }
  sleep 0.05
done
`;
}

/** Ends the machine, whatever it does, and removes its memory. Idempotent. */
export async function stopVm(host: Host, { unit, machine }: VmPlace = firstVm): Promise<void> {
  await host.run(`systemctl stop ${unit} 2> /dev/null || true
rm -f ${[...socketsOf(machine.paths), machine.paths.ram].join(' ')}`);
}

export type VmState = { readonly kind: 'absent' } | { readonly kind: 'running'; readonly qemuPid: number };

/** Whether the host has a QEMU process of ours; what its processors do is QMP's `query-status`. */
export async function vmState(host: Host, { unit }: VmPlace = firstVm): Promise<VmState> {
  const { stdout } = await host.run(`systemctl show --property=ActiveState,MainPID ${unit}`);
  const qemuPid = Number(/^MainPID=(\d+)$/m.exec(stdout)?.[1] ?? 0);
  return /^ActiveState=(active|deactivating)$/m.test(stdout) && qemuPid > 0
    ? { kind: 'running', qemuPid }
    : { kind: 'absent' };
}

/**
 * Waits until the machine's QEMU has ended by itself.
 * @throws CodedError 'host', 'timeout'
 */
export async function waitForVmEnd(host: Host, timeoutMs: number): Promise<void> {
  await host.run(
    `until [ "$(systemctl show --property=MainPID --value ${firstVm.unit})" = 0 ]; do sleep 0.02; done`,
    { timeoutMs },
  );
}

interface ReadyOptions {
  /** The host whose client asks. */
  readonly client: Host;
  /** The host that runs the machine, for its console. */
  readonly vmHost: Host;
  readonly server: DatabaseServer;
  /** Default: the first. */
  readonly vm?: VmPlace;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

const askAgainMs = 100;
/**
 * One attempt may hang where packets are dropped, and the next one gets through. A client's host may also be so slow that it
 * takes longer to start its SQL client, so each attempt that ran out of time gives the next one more.
 */
const firstAttemptMs = 5000;

const isTimeout = (error: unknown): boolean => error instanceof CodedError && error.code === 'timeout';

/**
 * Waits until the server answers SQL at the client, and returns its version.
 * @throws CodedError 'vm', 'not-ready'; the signal's reason when it aborts
 */
export async function waitForServer(options: ReadyOptions): Promise<string> {
  const { client, vmHost, server, vm = firstVm, timeoutMs, signal } = options;
  const deadlineMs = performance.now() + timeoutMs;
  let attemptMs = firstAttemptMs;
  for (;;) {
    signal?.throwIfAborted();
    const leftMs = deadlineMs - performance.now();
    try {
      const [[version = ''] = []] = await runSql(client, server, 'SELECT VERSION()', {
        timeoutMs: Math.max(500, Math.min(leftMs, attemptMs)),
        ...(signal === undefined ? {} : { signal }),
      });
      return version;
    } catch (error) {
      signal?.throwIfAborted();
      if (isTimeout(error)) attemptMs *= 1.5;
      // A host that is itself emulated was seen to take a minute for that.
      const state = await vmState(vmHost, vm).catch((failure: unknown) => {
        if (!isTimeout(failure)) throw failure;
        return undefined;
      });
      if (state?.kind !== 'absent' && performance.now() < deadlineMs) {
        await sleep(askAgainMs, undefined, signal === undefined ? {} : { signal });
        continue;
      }
      const why =
        state?.kind === 'absent'
          ? 'the machine ended before its server answered'
          : `the server at ${server.host}:${server.port} did not answer within ${timeoutMs} ms`;
      throw new CodedError(
        'vm',
        'not-ready',
        `${vmHost.name}: ${why}; its console:\n${await consoleTail(vmHost, 20, vm)}`,
        {
          host: vmHost.name,
          cause: error,
        },
      );
    }
  }
}

/** The last lines of the guest's serial console, or of QEMU's own output if there are none. */
export async function consoleTail(host: Host, lines = 20, { machine }: VmPlace = firstVm): Promise<string> {
  const { stdout } = await host.run(`tail -n ${lines} ${machine.paths.console} 2> /dev/null || true`);
  return stdout.trimEnd();
}

/** A step of the guest's start as it stands on the console, with seconds since the guest's kernel started. */
interface BootStep {
  readonly uptimeSeconds: number;
  readonly what: string;
}

/** Reads the guest's "POOLSHIFT <uptime> <what>" lines (guest/image/guest-init.sh). */
export function parseBootSteps(console: string): BootStep[] {
  return [...console.matchAll(/POOLSHIFT (\d+\.\d+) ([^\r\n]+)/g)].map(([, uptime, what = '']) => ({
    uptimeSeconds: Number(uptime),
    what,
  }));
}

/** The last lines that QEMU itself has written: why it refused a stream stands only there. */
export async function qemuOutput(host: Host, lines = 200, { unit }: VmPlace = firstVm): Promise<string> {
  const { stdout } = await host.run(
    `journalctl --unit=${unit} --lines=${lines} --output=short-iso --quiet --no-pager || true`,
  );
  return stdout.trimEnd();
}

async function journalSince(host: Host, startedAt: string, { unit }: VmPlace): Promise<string> {
  const { stdout } = await host.run(
    `journalctl --unit=${unit} --since=${quote(startedAt)} --lines=20 --output=cat --quiet --no-pager`,
  );
  return stdout.trimEnd();
}
