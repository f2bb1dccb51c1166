/** Judges why a machine cannot be used by ssh, and how far its clock is. Pure. */
import type { ClockOffset } from '../probes/clock.ts';
import type { HostName } from '../testbed/host.ts';
import { type Finding, verdict } from './finding.ts';

/** What ssh and sudo say, and what to do about it. The first that fits. */
const sshTroubles: readonly (readonly [said: RegExp, fix: (host: HostName) => string])[] = [
  [
    /Host key verification failed|No .* host key is known/,
    (host) =>
      `compare hosts.${host}.ssh.hostKey with /etc/ssh/ssh_host_ed25519_key.pub on the machine; if it is another, find out why`,
  ],
  [
    /Permission denied/,
    (host) => `add the public key of hosts.${host}.ssh.identityFile to authorized_keys of its user there`,
  ],
  [
    /sudo: .*password|sudo: a terminal is required|is not in the sudoers/,
    (host) => `let hosts.${host}.ssh.user run everything by sudo without a password (NOPASSWD: ALL)`,
  ],
  [/sudo: (?:command )?not found|sudo: not found/, (host) => `install sudo, or use user root for ${host}`],
  [/Could not resolve hostname/, (host) => `correct hosts.${host}.ssh.address`],
  [
    /Connection (?:refused|closed|reset)|timed out|No route to host|after \d+ ms/i,
    (host) => `check that the machine is up and that sshd answers at hosts.${host}.ssh.address and port`,
  ],
];

/** @param said what ssh printed, or undefined where commands run */
export function judgeSsh(host: HostName, userId: number | undefined, said: string | undefined): Finding {
  if (said === undefined)
    return verdict(
      'ssh',
      [host],
      userId === 0 ? 'commands run as root' : `commands run as user ${userId ?? '?'}`,
      userId === 0
        ? undefined
        : {
            status: 'problem',
            fix: `name root, or a user who may run everything by sudo, as hosts.${host}.ssh.user`,
          },
    );
  const [, fix] = sshTroubles.find(([pattern]) => pattern.test(said)) ?? [];
  return verdict('ssh', [host], lastLine(said), {
    status: 'problem',
    fix: fix?.(host) ?? `make "ssh" with the inventory's values work for ${host}`,
  });
}

export function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.trim() ?? '';
}

/** A clock that nobody sets wanders by far less; one that is set in mid-run spoils the run's times. */
const farOffMs = 500;

/** The true offset lies within ± its uncertainty, so only what is certain counts against the clock. */
export function judgeClock(host: HostName, { offsetMs, uncertaintyMs }: ClockOffset): Finding {
  const found = `${signed(offsetMs)} ± ${uncertaintyMs.toFixed(1)} ms from this machine's`;
  return verdict(
    'clock',
    [host],
    found,
    Math.abs(offsetMs) - uncertaintyMs <= farOffMs
      ? undefined
      : {
          status: 'warning',
          fix: 'run a time service (apt-get install chrony) and let it settle: offsets are corrected in the record, but not a clock that is set in mid-run',
        },
  );
}

export function judgeClockPair(src: ClockOffset, dst: ClockOffset): Finding {
  const offsetMs = dst.offsetMs - src.offsetMs;
  const uncertaintyMs = dst.uncertaintyMs + src.uncertaintyMs;
  const found = `dst ${signed(offsetMs)} ± ${uncertaintyMs.toFixed(1)} ms from src`;
  // Downtime is the time between two events on two machines.
  return verdict(
    'clock',
    ['src', 'dst'],
    found,
    uncertaintyMs <= 50
      ? undefined
      : {
          status: 'warning',
          fix: 'ssh to src or dst is slow: downtime from STOP to RESUME is no more certain than this; start from a machine that is near them',
        },
  );
}

const signed = (value: number): string => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(1)}`;
