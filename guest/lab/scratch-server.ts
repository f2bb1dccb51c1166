/** A database server for tests of the agent: run from a guest's root tree, in namespaces of its own, on a scratch folder. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { DatabaseSystem } from '../../foundation/database-systems.ts';
import { prepareRootTree } from '../image/root-tree.ts';
import type { Log } from '../../scripts/cache.ts';
import type { PackageSet } from '../../scripts/debian-packages.ts';

interface ScratchServerOptions {
  readonly dbms: DatabaseSystem;
  /** Where the server comes from. Default: the guest's. */
  readonly packages?: PackageSet;
  readonly poolBytes: number;
  /** Further options of the server. */
  readonly options?: readonly string[];
  readonly log: Log;
}

const startScript = `
set -eu
dbms=$1 root=$2 data=$3 pool=$4; shift 4
case $dbms in
  postgresql) mount --bind "$data" "$root/var/lib/postgresql" ;;
  *) mount --bind "$data" "$root/var/lib/mysql" ;;
esac
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mkdir -p "$root/run/mysqld"
common="--no-defaults --user=root --datadir=/var/lib/mysql --tmpdir=/tmp"
case $dbms in
  mariadb)
    chroot "$root" mariadb-install-db $common --skip-test-db --auth-root-authentication-method=normal --force >&2
    server=/usr/sbin/mariadbd set -- --innodb-log-file-size=128M "$@" ;;
  mysql)
    chroot "$root" /usr/sbin/mysqld $common --initialize-insecure >&2
    server=/usr/sbin/mysqld set -- --mysqlx=OFF --secure-file-priv=NULL "$@" ;;
  postgresql)
    chroot "$root" install -d -m 700 -o postgres -g postgres /run/postgresql /var/lib/postgresql
    chroot --userspec=postgres:postgres "$root" /usr/bin/initdb --pgdata=/var/lib/postgresql --no-locale --encoding=UTF8 \\
      --auth=peer --no-sync >&2
    # The shell stays, which is what ends with its parent: a change of user takes that from a process.
    chroot --userspec=postgres:postgres "$root" /usr/bin/postgres -D /var/lib/postgresql -c listen_addresses= \\
      -c unix_socket_directories=/run/postgresql -c fsync=off -c shared_buffers="\${pool}B" "$@" &
    wait
    exit ;;
esac
exec chroot "$root" $server $common --socket=/run/mysqld/mysqld.sock --pid-file=/run/mysqld/pid --skip-networking \\
  --skip-log-bin --innodb-flush-method=O_DIRECT --innodb-flush-log-at-trx-commit=0 --innodb-buffer-pool-size="$pool" "$@"
`;

export class ScratchServer {
  readonly dbms: DatabaseSystem;
  /** As this machine counts processes, not as the server does. */
  readonly pid: number;
  readonly version: string;
  private readonly launcher: ChildProcess;
  private readonly folder: string;

  private constructor(
    options: ScratchServerOptions,
    version: string,
    launcher: ChildProcess,
    pid: number,
    folder: string,
  ) {
    this.dbms = options.dbms;
    this.version = version;
    this.launcher = launcher;
    this.pid = pid;
    this.folder = folder;
  }

  static async start(options: ScratchServerOptions): Promise<ScratchServer> {
    const tree = await prepareRootTree(options.dbms, options.log, options.packages);
    const folder = await mkdtemp('/var/tmp/poolshift-server-');
    const logFile = await open(path.join(folder, 'log'), 'w');
    const { dbms, poolBytes } = options;
    const launcher = spawn(
      'setpriv',
      [
        ...['--pdeathsig', 'KILL', 'unshare', '--mount', '--net', '--pid', '--fork', '--kill-child=KILL'],
        ...[
          'sh',
          '-c',
          startScript,
          'sh',
          dbms,
          tree.path,
          await mkdtemp(path.join(folder, 'data-')),
          String(poolBytes),
        ],
        ...(options.options ?? []),
      ],
      { stdio: ['ignore', logFile.fd, logFile.fd] },
    );
    await logFile.close();
    const end = performance.now() + 90_000;
    while (performance.now() < end && launcher.exitCode === null) {
      await sleep(200);
      const pid = findServer(launcher.pid ?? 0);
      if (pid === undefined) continue;
      const server = new ScratchServer(options, tree.serverVersion, launcher, pid, folder);
      try {
        await server.sql('SELECT 1');
        return server;
      } catch {
        // Not listening yet.
      }
    }
    const tail = readFileSync(path.join(folder, 'log'), 'utf8').split('\n').slice(-20).join('\n');
    launcher.kill('SIGKILL');
    await rm(folder, { recursive: true });
    throw new Error(`${dbms} did not start:\n${tail}`);
  }

  /** Runs statements as root, or PostgreSQL's superuser. Gives tab-separated rows. */
  async sql(statements: string): Promise<string> {
    const { stdout } = await promisify(execFile)('chroot', this.clientCommand(statements), {
      timeout: 120_000,
    });
    return stdout;
  }

  /** Runs statements that take long, in the background. */
  startSql(statements: string): ChildProcess {
    return spawn('chroot', this.clientCommand(statements), { stdio: 'ignore' });
  }

  async stop(): Promise<void> {
    const ended = once(this.launcher, 'exit');
    this.launcher.kill('SIGKILL');
    await ended;
    while (isRunning(this.pid)) await sleep(50);
    await rm(this.folder, { recursive: true });
  }

  private clientCommand(statements: string): string[] {
    if (this.dbms === 'postgresql')
      return [
        ...[
          '--userspec=postgres:postgres',
          `/proc/${this.pid}/root`,
          '/usr/bin/psql',
          '--host=/run/postgresql',
        ],
        ...['--no-psqlrc', '--quiet', '--no-align', '--tuples-only', '--field-separator=\t'],
        ...['--set=ON_ERROR_STOP=1', `--command=${statements}`],
      ];
    const client = `/usr/bin/${this.dbms}`;
    const options = ['--no-defaults', '--user=root', '--socket=/run/mysqld/mysqld.sock'];
    return [`/proc/${this.pid}/root`, client, ...options, '--batch', '--skip-column-names', '-e', statements];
  }
}

/** The server among the descendants of a process. */
function findServer(ancestor: number): number | undefined {
  const pending = [ancestor];
  for (let pid = pending.pop(); pid !== undefined; pid = pending.pop()) {
    try {
      const program = path.basename(readlinkSync(`/proc/${pid}/exe`));
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      if (/^(mariadbd|mysqld|postgres)$/.test(program) && /--skip-networking|listen_addresses=/.test(command))
        return pid;
      for (const task of readdirSync(`/proc/${pid}/task`)) {
        const children = readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8');
        pending.push(...children.split(' ').filter(Boolean).map(Number));
      }
    } catch {
      // Ended meanwhile.
    }
  }
  return undefined;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
