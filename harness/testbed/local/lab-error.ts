/**
 * `already-up`: the machine has a lab, and there is room for one only. `not-up`: there is none. `start-failed`: the
 * keeper or a host did not come up. `needs-root`: this user cannot make namespaces.
 */
export class LabError extends Error {
  override readonly name = 'LabError';
  readonly code: 'already-up' | 'not-up' | 'start-failed' | 'needs-root';

  constructor(code: LabError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
