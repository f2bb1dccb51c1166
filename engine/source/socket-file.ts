/**
 * The file of a unix socket on which this program listens. It appears only when nothing else is in its place, it is its
 * owner's alone from the first moment, and only what is ours is ever removed.
 */
import { randomBytes } from 'node:crypto';
import {
  accessSync,
  constants,
  linkSync,
  lstatSync,
  mkdirSync,
  renameSync,
  rmSync,
  type Stats,
} from 'node:fs';
import { connect, type Server } from 'node:net';
import path from 'node:path';
import { CodedError, isCoded } from '../../foundation/coded-error.ts';

/** Longest path that a socket's address holds (unix(7)), without the zero at its end. */
const maxPathBytes = 107;
const permissionBits = 0o777;

/**
 * Makes the folder of the socket, for this user only, if it is not there; says whether anybody else may write to it, who
 * could then put a socket of his own in the place of ours.
 *
 * @throws CodedError 'source', 'socket-path' when the folder cannot be made or written to, or a socket could not have this path
 */
export function prepareSocketFolder(socketPath: string): { readonly writableByOthers: boolean } {
  const folder = path.dirname(path.resolve(socketPath));
  const longest = Math.max(Buffer.byteLength(socketPath), Buffer.byteLength(hiddenPath(socketPath)));
  if (longest > maxPathBytes) {
    throw new CodedError(
      'source',
      'socket-path',
      `the path ${socketPath} is ${longest - maxPathBytes} bytes too long for a socket`,
    );
  }
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw new CodedError(
      'source',
      'socket-path',
      `no socket can be made in the folder ${folder}: ${(cause as Error).message}`,
      { cause },
    );
  }
  return { writableByOthers: (lstatSync(folder).mode & 0o022) !== 0 };
}

/**
 * Looks at what lies in a socket's place: nothing (undefined), or the socket of a program that has ended.
 *
 * @throws CodedError 'source', 'socket-path' when it is anything else: no socket, or one on which a program listens
 */
export async function staleSocketAt(socketPath: string): Promise<Stats | undefined> {
  const found = lstatSync(socketPath, { throwIfNoEntry: false });
  if (found === undefined) return undefined;
  if (!found.isSocket()) {
    throw new CodedError(
      'source',
      'socket-path',
      `${socketPath} exists and is not a socket; nothing was changed: name another path`,
    );
  }
  const answer = await knock(socketPath);
  if (answer === 'ECONNREFUSED') return found;
  // It has gone meanwhile.
  if (answer === 'ENOENT') return undefined;
  throw new CodedError(
    'source',
    'socket-path',
    answer === undefined
      ? `another program listens on ${socketPath}: end it, or name another path`
      : `whether a program listens on ${socketPath} cannot be told (${answer})`,
  );
}

/** Connects and closes at once: undefined when somebody listens, else the error's code. */
async function knock(socketPath: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once('connect', () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code ?? error.message);
    });
  });
}

/** A socket that listens, and its file. */
export class SocketFile {
  readonly #path: string;
  readonly #own: Stats;

  private constructor(socketPath: string, own: Stats) {
    this.#path = socketPath;
    this.#own = own;
  }

  /**
   * Has the server listen on the path, with mode 0600 whatever the umask. It is bound under another name first and then
   * linked, which fails if the path is taken, and so that Node, which removes what it has bound when the server closes, does
   * not remove another program's socket.
   *
   * @throws CodedError 'source', 'socket-path'
   */
  static async listen(server: Server, socketPath: string): Promise<SocketFile> {
    const stale = await staleSocketAt(socketPath);
    const bound = hiddenPath(socketPath);
    try {
      await bindPrivately(server, bound);
      const own = lstatSync(bound);
      if (stale !== undefined) removeStale(socketPath, stale);
      linkSync(bound, socketPath);
      rmSync(bound);
      return new SocketFile(socketPath, own);
    } catch (cause) {
      server.close();
      rmSync(bound, { force: true });
      if (isCoded(cause, 'source')) throw cause;
      throw new CodedError(
        'source',
        'socket-path',
        `cannot listen on ${socketPath}: ${(cause as Error).message}`,
        { cause },
      );
    }
  }

  /** Removes the file if it is still ours. */
  remove(): void {
    const found = lstatSync(this.#path, { throwIfNoEntry: false });
    if (found !== undefined && isSame(found, this.#own)) rmSync(this.#path, { force: true });
  }
}

async function bindPrivately(server: Server, bound: string): Promise<void> {
  const listening = new Promise<void>((resolve, reject) => {
    server.once('listening', resolve);
    server.once('error', reject);
  });
  // A socket's file is made within the call, with the mode that the umask leaves.
  const before = process.umask(permissionBits & ~0o600);
  try {
    server.listen(bound);
  } finally {
    process.umask(before);
  }
  await listening;
}

/** Takes a dead program's socket away. What another program has put there since it was looked at stays. */
function removeStale(socketPath: string, stale: Stats): void {
  const aside = hiddenPath(socketPath);
  try {
    renameSync(socketPath, aside);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw cause;
  }
  if (!isSame(lstatSync(aside), stale)) linkSync(aside, socketPath);
  rmSync(aside);
}

function isSame(a: Stats, b: Stats): boolean {
  return a.dev === b.dev && a.ino === b.ino;
}

/** An unpredictable name beside it. */
function hiddenPath(socketPath: string): string {
  return path.join(path.dirname(socketPath), `.${randomBytes(4).toString('hex')}`);
}
