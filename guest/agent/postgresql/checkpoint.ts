/** Has a server write its dirty pages: CHECKPOINT, which is the only thing that the agent says to it. */
import { closeSync, readSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { GuestError, systemErrorCode } from '../guest-error.ts';
import { openRegularFileSync } from '../safe-files.ts';
import { atListeningSocket } from '../server-sockets.ts';
import type { Postmaster } from './server-process.ts';
import { PostgresqlSession } from './sql-session.ts';

/** The host waits for a list no longer than a minute. */
const answerTimeoutMs = 40_000;
const maxPasswdBytes = 64 * 1024;

/** @throws GuestError 'clean-failed' */
export async function writeDirtyPages(server: Postmaster): Promise<void> {
  const { pid, userId, groupId } = server;
  const user = userNameOf(pid, userId) ?? 'postgres';
  try {
    const socket = atListeningSocket(server, (path) => connectAs(userId, groupId, path));
    if (socket === undefined)
      throw new GuestError('clean-failed', `server ${pid} listens on no unix socket of its user's`);
    const session = await PostgresqlSession.open(socket, { user, database: 'postgres', answerTimeoutMs });
    try {
      await session.query('CHECKPOINT');
    } finally {
      session.close();
    }
  } catch (error) {
    if (error instanceof GuestError) throw error;
    throw new GuestError('clean-failed', error instanceof Error ? error.message : String(error), error);
  }
}

/**
 * A server asks the kernel who connects (`peer`, which distributions set for its socket), and takes its own user for its
 * superuser. So the agent is that user for the moment in which it connects; whatever listens there in truth, the agent may do no
 * more to it than that user may.
 *
 * @throws GuestError 'clean-failed'
 */
function connectAs(userId: number, groupId: number, path: string): Socket {
  const [ownUser, ownGroup] = [process.geteuid?.() ?? 0, process.getegid?.() ?? 0];
  if (userId === ownUser) return connect(path);
  try {
    process.setegid?.(groupId);
    process.seteuid?.(userId);
    // connect(2) is called before this returns.
    return connect(path);
  } catch (error) {
    throw new GuestError(
      'clean-failed',
      `cannot connect as user ${userId} (the agent needs CAP_SETUID)`,
      error,
    );
  } finally {
    process.seteuid?.(ownUser);
    process.setegid?.(ownGroup);
  }
}

/** Of the server's own users: in a container they are others than the guest's. */
function userNameOf(pid: number, userId: number): string | undefined {
  try {
    const file = openRegularFileSync(`/proc/${pid}/root/etc/passwd`);
    if (file === undefined) return undefined;
    try {
      const bytes = Buffer.alloc(maxPasswdBytes);
      const users = bytes.toString('utf8', 0, readSync(file, bytes)).split('\n');
      return users.map((line) => line.split(':')).find(([, , id]) => id === String(userId))?.[0];
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if (systemErrorCode(error) !== undefined) return undefined;
    throw error;
  }
}
