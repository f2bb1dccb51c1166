/**
 * `not-ready`: something is missing on this machine, and the message says all of it. `up-failed`: Vagrant did not bring the
 * machines up. `bad-answer`: Vagrant or a machine said something else than was expected.
 */
export class VagrantError extends Error {
  override readonly name = 'VagrantError';
  readonly code: 'not-ready' | 'up-failed' | 'bad-answer';

  constructor(code: VagrantError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
