/**
 * `command-failed`: a tool of the build ended with an error (its last lines are in the message, the whole in `cause`).
 * `unsupported-machine`: images are x86-64 and are made by running their programs here.
 * `bad-parameter`: a number of tables or rows that makes no image.
 * `incomplete`: a build step left out something that the next one needs.
 */
export class GuestImageError extends Error {
  readonly code: 'command-failed' | 'unsupported-machine' | 'bad-parameter' | 'incomplete';

  constructor(code: GuestImageError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'GuestImageError';
    this.code = code;
  }
}
