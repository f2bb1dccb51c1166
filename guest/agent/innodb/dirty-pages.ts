/** Has a server write its dirty pages. This is the only thing the agent says to a server. */
import { readFileSync, readlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { GuestError, systemErrorCode } from '../guest-error.ts';
import { openRegularFile } from '../safe-files.ts';
import { atListeningSocket } from '../server-sockets.ts';
import type { ServerProcess } from './server-process.ts';
import { type Credentials, SqlSession } from './sql-session.ts';

/** User and password for the server, if root may not log in by itself (unix_socket or auth_socket). */
const credentialsPath = '/etc/poolshift/agent.cnf';

/** MySQL writes in the background; it is given this long. */
const maxWritingMs = 15_000;
/** The host waits for a list no longer than a minute. */
const sessionMs = 40_000;
/** For putting limits back after a session that failed. */
const againMs = 10_000;
const pollMs = 100;
/** Without a page written: the page cleaner looks at its limits once a second (buf0flu.cc). */
const idleRounds = 25;

/** As good as 0, and nobody's but the agent's: what it leaves behind when it is ended is known by it. */
const loweredPercent = 0.001;

/** Values as SQL has them. */
interface Limits {
  readonly percent: string;
  readonly lowWaterMark: string;
}

/** What is not put back yet, by server. */
const lowered = new Map<string, Limits>();

/** @throws GuestError 'clean-failed' */
export async function writeDirtyPages(server: ServerProcess): Promise<void> {
  const session = await openSession(server, sessionMs);
  try {
    // A checkpoint at the current LSN: returns when everything dirty before it is written. MariaDB 10.5 has none.
    if (server.product === 'mariadb' && (await hasSetting(session, 'innodb_log_checkpoint_now')))
      await session.query('SET GLOBAL innodb_log_checkpoint_now = ON');
    else await lowerLimits(`${server.pid}:${server.startTicks}`, session, () => openSession(server, againMs));
  } finally {
    session.close();
  }
}

async function openSession(server: ServerProcess, timeoutMs: number): Promise<SqlSession> {
  const credentials = await credentialsFor(server);
  // MySQL's X plugin listens on a socket of its own.
  const socket = atListeningSocket(server, connect, (path) => !path.includes('mysqlx'));
  if (socket === undefined)
    throw new GuestError('clean-failed', `server ${server.pid} listens on no unix socket of its user's`);
  return SqlSession.open(socket, credentials, timeoutMs);
}

async function hasSetting(session: SqlSession, name: string): Promise<boolean> {
  return (await session.query(`SHOW GLOBAL VARIABLES LIKE '${name}'`)).length > 0;
}

/**
 * Has the server write all that is dirty, and puts its limits back: over another session where this one fails, and where that
 * fails, too, the next time. Exported for tests.
 *
 * @param server tells it from others, and from an earlier one
 */
export async function lowerLimits(
  server: string,
  session: SqlSession,
  openAgain: () => Promise<SqlSession>,
): Promise<void> {
  const limits = await readLimits(server, session);
  lowered.set(server, limits);
  try {
    // The low water mark must not exceed the other, so it goes first and comes back last.
    await session.query(
      `SET GLOBAL innodb_max_dirty_pages_pct_lwm = 0, GLOBAL innodb_max_dirty_pages_pct = ${loweredPercent}`,
    );
    await waitUntilWritten(session);
  } finally {
    await putBack(limits, session).catch(async () => {
      const again = await openAgain();
      try {
        await putBack(limits, again);
      } finally {
        again.close();
      }
    });
    lowered.delete(server);
  }
}

/** As they are when the agent has not lowered them. An agent that was ended took them along: then they become the server's defaults. */
async function readLimits(server: string, session: SqlSession): Promise<Limits> {
  const [row = []] = await session.query(
    'SELECT @@GLOBAL.innodb_max_dirty_pages_pct, @@GLOBAL.innodb_max_dirty_pages_pct_lwm',
  );
  const [percent = NaN, lowWaterMark = NaN] = row.map(Number);
  if (Number.isNaN(percent) || Number.isNaN(lowWaterMark))
    throw new GuestError('clean-failed', 'the server does not tell its innodb_max_dirty_pages_pct');
  if (percent === loweredPercent)
    return lowered.get(server) ?? { percent: 'DEFAULT', lowWaterMark: 'DEFAULT' };
  return { percent: String(percent), lowWaterMark: String(lowWaterMark) };
}

async function putBack({ percent, lowWaterMark }: Limits, session: SqlSession): Promise<void> {
  await session.query(
    `SET GLOBAL innodb_max_dirty_pages_pct = ${percent}, GLOBAL innodb_max_dirty_pages_pct_lwm = ${lowWaterMark}`,
  );
}

/** Under load the count never reaches 0: enough when it no longer falls. */
async function waitUntilWritten(session: SqlSession): Promise<void> {
  const endMs = performance.now() + maxWritingMs;
  let fewest = Infinity;
  let roundsWithoutProgress = 0;
  while (performance.now() < endMs && roundsWithoutProgress < idleRounds) {
    const rows = await session.query("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'");
    const dirty = Number(rows[0]?.[1] ?? NaN);
    if (dirty === 0) return;
    roundsWithoutProgress = dirty < fewest ? 0 : roundsWithoutProgress + 1;
    fewest = Math.min(fewest, dirty);
    await sleep(pollMs);
  }
}

/**
 * A password is told only to servers that run as root or as the user `mysql`, and in no container, whose root can be any user:
 * whoever else calls a process mysqld would only have to listen. Root without a password is what the kernel tells of a connection, which is no secret.
 *
 * @throws GuestError 'clean-failed' if others than root can read the password
 */
async function credentialsFor({ pid, userId }: ServerProcess): Promise<Credentials> {
  const withoutPassword = { user: 'root', password: '' };
  if ((userId !== 0 && userId !== userIdOf('mysql')) || !isOutsideContainers(pid)) return withoutPassword;
  try {
    const file = await openRegularFile(credentialsPath);
    if (file === undefined) return withoutPassword;
    try {
      const { uid, mode } = await file.stat();
      if (uid !== 0 || (mode & 0o077) !== 0)
        throw new GuestError('clean-failed', `${credentialsPath} must be root's, with mode 600`);
      return parseCredentials(await file.readFile('utf8'));
    } finally {
      await file.close();
    }
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return withoutPassword;
    throw error;
  }
}

/** Whether a process is in the agent's own pid namespace. Exported for tests. */
export function isOutsideContainers(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`) === readlinkSync('/proc/self/ns/pid');
  } catch (error) {
    // Ended meanwhile.
    if (systemErrorCode(error) !== undefined) return false;
    throw error;
  }
}

function userIdOf(name: string): number | undefined {
  const users = readFileSync('/etc/passwd', 'utf8').split('\n');
  const fields = users.map((line) => line.split(':')).find(([user]) => user === name);
  return fields === undefined ? undefined : Number(fields[2]);
}

/** Lines `user = NAME` and `password = WORD`. */
export function parseCredentials(text: string): Credentials {
  const value = (name: string): string | undefined =>
    new RegExp(`^\\s*${name}\\s*=\\s*(.*?)\\s*$`, 'm').exec(text)?.[1];
  return { user: value('user') ?? 'root', password: value('password') ?? '' };
}
