/** Has a server write its dirty pages, through its own SQL client. This is the only thing the agent says to a server. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { GuestError, systemErrorCode } from '../guest-error.ts';
import type { ServerProcess } from './server-process.ts';

/** User and password for the client, if root may not log in by itself (unix_socket or auth_socket). */
export const credentialsPath = '/etc/poolshift/agent.cnf';

/** MySQL writes in the background; it is given this long. */
const maxWritingMs = 15_000;
const pollMs = 100;

/** @throws GuestError 'clean-failed' */
export async function writeDirtyPages(server: ServerProcess): Promise<void> {
  const socket = findServerSocket(server.pid);
  if (socket === undefined)
    throw new GuestError('clean-failed', `server ${server.pid} listens on no unix socket`);
  if (server.product === 'mariadb') {
    // A checkpoint at the current LSN: returns when everything dirty before it is written.
    await runSql(server.pid, socket, 'SET GLOBAL innodb_log_checkpoint_now = ON');
    return;
  }
  const settings = await runSql(
    server.pid,
    socket,
    'SELECT @@GLOBAL.innodb_max_dirty_pages_pct, @@GLOBAL.innodb_max_dirty_pages_pct_lwm',
  );
  const [percent = '90', lowWaterMark = '10'] = settings.trim().split('\t');
  // The low water mark must not exceed the other, so it goes first and comes back last.
  await runSql(
    server.pid,
    socket,
    'SET GLOBAL innodb_max_dirty_pages_pct_lwm = 0; SET GLOBAL innodb_max_dirty_pages_pct = 0',
  );
  try {
    await waitUntilWritten(server.pid, socket);
  } finally {
    await runSql(
      server.pid,
      socket,
      `SET GLOBAL innodb_max_dirty_pages_pct = ${Number(percent)}; ` +
        `SET GLOBAL innodb_max_dirty_pages_pct_lwm = ${Number(lowWaterMark)}`,
    );
  }
}

/** Under load the count never reaches 0: enough when it no longer falls. */
async function waitUntilWritten(pid: number, socket: string): Promise<void> {
  const endMs = performance.now() + maxWritingMs;
  let fewest = Infinity;
  let roundsWithoutProgress = 0;
  while (performance.now() < endMs && roundsWithoutProgress < 5) {
    const text = await runSql(pid, socket, "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'");
    const dirty = Number(text.trim().split('\t')[1] ?? NaN);
    if (dirty === 0) return;
    roundsWithoutProgress = dirty < fewest ? 0 : roundsWithoutProgress + 1;
    fewest = Math.min(fewest, dirty);
    await sleep(pollMs);
  }
}

/** Runs statements with the client that lies in the server's root, as root of it. Gives tab-separated rows. */
async function runSql(pid: number, socket: string, sql: string): Promise<string> {
  const root = `/proc/${pid}/root`;
  const client = ['/usr/bin/mariadb', '/usr/bin/mysql'].find((path) => existsSync(`${root}${path}`));
  if (client === undefined)
    throw new GuestError('clean-failed', 'neither mariadb nor mysql, the SQL client, is installed');
  const credentials = existsSync(`${root}${credentialsPath}`)
    ? [`--defaults-file=${credentialsPath}`]
    : ['--no-defaults'];
  try {
    const { stdout } = await promisify(execFile)(
      'chroot',
      [
        root,
        client,
        ...credentials,
        `--socket=${socket}`,
        '--batch',
        '--skip-column-names',
        '--execute',
        sql,
      ],
      { timeout: 60_000 },
    );
    return stdout;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new GuestError('clean-failed', `the server did not take "${sql}": ${reason}`, cause);
  }
}

/** The server's listening socket, as a path in the server's root. */
function findServerSocket(pid: number): string | undefined {
  const inodes = new Set<string>();
  for (const descriptor of readdirSync(`/proc/${pid}/fd`)) {
    const inode = /^socket:\[(\d+)\]$/.exec(readLink(`/proc/${pid}/fd/${descriptor}`))?.[1];
    if (inode !== undefined) inodes.add(inode);
  }
  const sockets: string[] = [];
  for (const line of readFileSync(`/proc/${pid}/net/unix`, 'utf8').split('\n')) {
    // Num: RefCount Protocol Flags Type St Inode Path; flag 0x10000 is __SO_ACCEPTCON.
    const [, , , flags, , , inode = '', path] = line.trim().split(/\s+/);
    if (flags === '00010000' && inodes.has(inode) && path?.startsWith('/') === true) sockets.push(path);
  }
  // MySQL's X plugin listens on a socket of its own.
  return sockets.find((path) => !path.includes('mysqlx'));
}

function readLink(path: string): string {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return '';
    throw error;
  }
}
