/** `--user`: what needs root is opened, and then the engine goes on as somebody else, for good. */
import { execFileSync } from 'node:child_process';
import { chownSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { InvalidArgumentError } from 'commander';

export interface User {
  readonly uid: number;
  /** Its primary group. */
  readonly gid: number;
}

/** A user's name or number. @throws InvalidArgumentError when there is none */
export function userNamed(name: string): User {
  try {
    const [uid, gid] = ['-u', '-g'].map((flag) =>
      Number(
        execFileSync('id', [flag, '--', name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
      ),
    );
    if (uid !== undefined && gid !== undefined) return { uid, gid };
  } catch {
    // `id` says the same, in the user's language.
  }
  throw new InvalidArgumentError(`There is no user ${name}.`);
}

/** Makes the folder of a socket that the user will make, and those above it, where they are not there, and gives them to him. */
export function makeFolderFor({ uid, gid }: User, socketPath: string): void {
  const folder = path.dirname(path.resolve(socketPath));
  const highest = mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (highest === undefined) return;
  // From below, so that none of them is in a folder of his by then.
  for (let made = folder; made.length >= highest.length; made = path.dirname(made)) chownSync(made, uid, gid);
}

/**
 * Becomes the user: in its primary group and no other. With the user root's number the kernel takes all capabilities away
 * (capabilities(7)), so there is no way back. Nothing happens to a process that is the user already.
 *
 * @throws Error when this process is neither
 */
export function become({ uid, gid }: User): void {
  if (process.getuid?.() === uid) return;
  if (process.getuid?.() !== 0) throw new Error('--user needs root');
  process.setgroups?.([]);
  process.setgid?.(gid);
  process.setuid?.(uid);
}
