/**
 * `connect-failed`: no QEMU answers at the socket. `command-failed`: QEMU refused a command; `message` is its reason.
 * `connection-lost`: the connection ended before the answer. `timeout`: no answer or event in time.
 * `protocol`: what came is not QMP.
 */
export class QmpError extends Error {
  readonly code: 'connect-failed' | 'command-failed' | 'connection-lost' | 'timeout' | 'protocol';

  constructor(code: QmpError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'QmpError';
    this.code = code;
  }
}
