/** `--user`: what needs root is opened, and then the engine goes on as somebody else, for good. */
import { execFileSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync } from 'node:fs';
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

/** Makes the folder of a socket that the user will make, if it is not there, and gives it to him. */
export function makeFolderFor({ uid, gid }: User, socketPath: string): void {
  const folder = path.dirname(path.resolve(socketPath));
  if (existsSync(folder)) return;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  chownSync(folder, uid, gid);
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
