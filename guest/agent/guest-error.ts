type GuestErrorCode =
  /** No program is running whose cached pages the agent can find. */
  | 'no-server'
  /** The agent lacks root's rights: memory, pagemap or iomem of the guest cannot be read. */
  | 'not-permitted'
  /** The server's memory is not laid out as any known version's, and a scan found nothing either. */
  | 'unknown-layout'
  /** The server's files do not lie where blocks can be named, a plain disk or partition, or NFS, or have pages in another form. */
  | 'unsupported-storage'
  /** A program that the agent runs (filefrag) is missing, could be changed by others than root, or failed. */
  | 'command-failed'
  /** Reducing dirty pages was asked for, but the server could not be told to. */
  | 'clean-failed'
  /** A process that looks like a server has more memory areas or mounts than the agent looks at. */
  | 'too-large'
  /** Finding a server's pages takes longer than the agent gives it. */
  | 'too-slow'
  | 'internal';

/** Why the agent cannot give a page list. It becomes an error answer on the port. */
export class GuestError extends Error {
  override readonly name = 'GuestError';
  readonly code: GuestErrorCode;

  constructor(code: GuestErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/** The code of a system error ("ENOENT"), or undefined for any other. */
export function systemErrorCode(error: unknown): string | undefined {
  if (error instanceof GuestError) return undefined;
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
