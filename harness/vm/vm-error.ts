import type { HostName } from '../testbed/host.ts';

/**
 * `already-running`: the host runs a machine already. `start-failed`: QEMU ended or did not answer; the message has its
 * last lines. `not-ready`: the database server did not answer in time; the message has the console's last lines.
 */
export class VmError extends Error {
  readonly code: 'already-running' | 'start-failed' | 'not-ready';
  readonly host: HostName;

  constructor(code: VmError['code'], host: HostName, message: string, options?: ErrorOptions) {
    super(`${host}: ${message}`, options);
    this.name = 'VmError';
    this.code = code;
    this.host = host;
  }
}
