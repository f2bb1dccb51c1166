/** `not-writable`: a result folder cannot be written. `not-readable`: a raw file is missing or its content is wrong. */
export class RecordError extends Error {
  override readonly name = 'RecordError';
  readonly code: 'not-writable' | 'not-readable';

  constructor(code: RecordError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
