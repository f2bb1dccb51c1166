/** A machine of a migration: commands run there as root, here or by ssh. */
import { quote } from '../foundation/shell.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { CodedError } from '../foundation/coded-error.ts';
import type { SshTarget } from './address.ts';

const defaultTimeoutMs = 30_000;
/** Who has not answered for so long is named. */
export const silentMs = 10_000;
/** A command that is told to end does so within this time, or is not waited for. */
const endMs = 3000;
/** A host that ssh has lost is asked again so often, and given up after so long. */
export const lostHost = { askAgainMs: 1000, givenUpMs: 60_000 } as const;
/** Exit code of ssh itself. */
const connectionLost = 255;

interface RunOptions {
  /** Default 30 000. */
  readonly timeoutMs?: number;
  /** For standard input: what no list of processes is to show. */
  readonly input?: string;
}

/** A long-lived command: its lines, and what ends it here. */
export interface Following {
  readonly lines: AsyncIterable<string>;
  /** When there are no more lines: the command has ended, or the connection to its host is lost. Never rejects. */
  readonly end: Promise<'ended' | 'lost'>;
  stop(): void;
}

/**
 * So that a socket in it, named by ssh's %C and a random end while it is made, has a path that unix(7) takes, and that ssh, which expands
 * what its options hold, takes as it is.
 */
const plainTemporary = /^\/[\w./-]{0,31}$/;

/** As a part of what ssh is told to forward: it splits that at ":", and expands "%" and "${" (ssh_config(5), TOKENS). Pure. */
export const forwardedPath = (path: string): string =>
  path.replaceAll(/[\\:]|(?<=\$)\{/g, '\\$&').replaceAll('%', '%%');

/** A command that ends in the middle, by Ctrl-C, leaves none behind either. */
const openFolders = new Set<string>();
process.on('exit', () => {
  for (const folder of openFolders) rmSync(folder, { recursive: true, force: true });
});

/** A login shell may say something before a script's own output begins: ~/.bashrc is read where ssh runs a command. */
const beginning = 'poolshift: begins';

/** Is told of a host that is slow to answer. */
export interface WaitListener {
  note(text: string): void;
}

/** The shared connections of one command's hosts. */
export class SshConnections {
  readonly folder: string;
  readonly listener: WaitListener;

  private constructor(folder: string, listener: WaitListener) {
    this.folder = folder;
    this.listener = listener;
  }

  static open(listener: WaitListener = { note: () => undefined }): SshConnections {
    const temporary = plainTemporary.test(os.tmpdir()) ? os.tmpdir() : '/tmp';
    const folder = mkdtempSync(path.join(temporary, 'poolshift-'));
    openFolders.add(folder);
    return new SshConnections(folder, listener);
  }

  /** ssh's arguments up to the host. Nobody is there to answer a question. */
  arguments(target: SshTarget): readonly string[] {
    return [
      ...['-o', 'BatchMode=yes', '-o', 'ConnectTimeout=10'],
      ...['-o', 'ServerAliveInterval=5', '-o', 'ServerAliveCountMax=3'],
      ...['-o', 'ControlMaster=auto', '-o', `ControlPath=${this.folder}/%C`, '-o', 'ControlPersist=60'],
      ...(target.port === undefined ? [] : ['-p', String(target.port)]),
      ...(target.user === undefined ? [] : ['-l', target.user]),
    ];
  }

  async close(hosts: readonly OperatedHost[]): Promise<void> {
    await Promise.all(
      hosts.map(async ({ ssh }) => {
        if (ssh === undefined) return;
        await execa('ssh', ['-O', 'exit', ...this.arguments(ssh), ssh.host], {
          reject: false,
          stdio: 'ignore',
        });
      }),
    );
    await rm(this.folder, { recursive: true, force: true });
    openFolders.delete(this.folder);
  }
}

export class OperatedHost {
  readonly ssh: SshTarget | undefined;
  readonly #connections: SshConnections;

  constructor(ssh: SshTarget | undefined, connections: SshConnections) {
    this.ssh = ssh;
    this.#connections = connections;
  }

  /** As messages name it. */
  get name(): string {
    return this.ssh?.host ?? os.hostname();
  }

  /**
   * Runs a script of bash as root. Returns its standard output.
   * @throws CodedError 'host', 'unreachable', 'timeout' or 'command-failed'
   */
  async run(script: string, { timeoutMs = defaultTimeoutMs, input }: RunOptions = {}): Promise<string> {
    const [program, ...words] = this.#command(script);
    const child = execa(program, words, {
      ...(input === undefined ? { stdin: 'ignore' } : { input }),
      timeout: timeoutMs,
      // A Ctrl-C in the terminal is for this command alone.
      detached: true,
      reject: false,
      maxBuffer: 64 * 2 ** 20,
    });
    const silent = setTimeout(() => {
      const limit = `${silentMs / 1000} s of at most ${timeoutMs / 1000}`;
      this.#connections.listener.note(`waiting for ${this.name}: ${limit}`);
    }, silentMs);
    // What hangs in the kernel, as a read of a mount whose server is gone, cannot be ended, nor what sudo runs: it is left alone.
    const result = await Promise.race([child, sleep(timeoutMs + endMs, undefined, { ref: false })]);
    clearTimeout(silent);
    if (result === undefined || result.timedOut) {
      for (const stream of [child.stdout, child.stderr]) stream.destroy();
      child.nodeChildProcess.unref();
      throw new CodedError('host', 'timeout', `${this.name} does not answer within ${timeoutMs / 1000} s`);
    }
    if (result.exitCode === 0) return afterBeginning(result.stdout);
    const said = result.stderr.trim().split('\n').slice(-5).join('\n');
    if (this.#isLost(result.exitCode))
      throw new CodedError('host', 'unreachable', `${this.name} cannot be reached by ssh: ${said}`);
    throw new CodedError(
      'host',
      'command-failed',
      `on ${this.name}: ${said === '' ? `exit code ${result.exitCode ?? 'none'}` : said}`,
    );
  }

  #isLost(exitCode: number | undefined): boolean {
    return this.ssh !== undefined && (exitCode === connectionLost || exitCode === undefined);
  }

  /** Starts a script of bash as root whose lines are read while it runs. */
  follow(script: string): Following {
    const [program, ...words] = this.#command(script);
    const child = execa(program, words, {
      stdin: 'ignore',
      stderr: 'ignore',
      buffer: false,
      reject: false,
      detached: true,
    });
    return {
      lines: linesOf(child.iterable() as AsyncIterable<string>),
      end: child.then(({ exitCode }) => (this.#isLost(exitCode) ? 'lost' : 'ended')),
      stop: () => void child.kill(),
    };
  }

  /** Brings a socket of the host here; `stop` ends that. Of this machine it is the socket itself. @throws CodedError 'host' */
  async forwardSocket(
    remotePath: string,
    name: string,
  ): Promise<{ readonly path: string; stop(): Promise<void> }> {
    if (this.ssh === undefined) return { path: remotePath, stop: () => Promise.resolve() };
    const local = path.join(this.#connections.folder, name);
    const what = `${local}:${forwardedPath(remotePath)}`;
    await this.#checkSocket(this.ssh, remotePath);
    await this.#forward('-L', what, remotePath);
    return {
      path: local,
      stop: () => this.#cancelForward('-L', what),
    };
  }

  /**
   * Makes a socket of this machine reachable at `remotePath`, where nothing may be yet; `stop` ends that. On this machine it is the
   * socket itself.
   * @throws CodedError 'host'
   */
  async bringSocket(
    localPath: string,
    remotePath: string,
  ): Promise<{ readonly path: string; stop(): Promise<void> }> {
    if (this.ssh === undefined) return { path: localPath, stop: () => Promise.resolve() };
    const what = `${forwardedPath(remotePath)}:${forwardedPath(localPath)}`;
    await this.#forward('-R', what, localPath);
    return {
      path: remotePath,
      stop: async () => {
        await this.#cancelForward('-R', what);
        // sshd leaves it there.
        await this.run(`rm -f ${quote(remotePath)}`).catch(() => undefined);
      },
    };
  }

  /** sshd connects to it as the user that it has let in, with whom sudo does not help. @throws CodedError 'host' */
  async #checkSocket(ssh: SshTarget, socket: string): Promise<void> {
    if ((await this.run(`[ -S ${quote(socket)} ] && echo yes || true`)) !== 'yes')
      throw new CodedError('host', 'forward-failed', `${this.name}: there is no socket ${socket}`);
    const words = [...this.#connections.arguments(ssh), ssh.host, `exec test -w ${quote(socket)}`];
    const { exitCode } = await execa('ssh', words, {
      stdin: 'ignore',
      reject: false,
      timeout: defaultTimeoutMs,
    });
    if (exitCode === 1)
      throw new CodedError(
        'host',
        'forward-failed',
        `${this.name}: the user of the ssh connection may not use the socket ${socket}: connect as root or as QEMU's user (USER@${this.name})`,
      );
  }

  /** Over the shared connection, which is made if there is none. @throws CodedError 'host' */
  async #forward(direction: '-L' | '-R', what: string, socket: string): Promise<void> {
    await this.run('true');
    const { exitCode, stderr } = await this.#control('forward', direction, what);
    if (exitCode !== 0)
      throw new CodedError(
        'host',
        'forward-failed',
        `${this.name}: ${socket} cannot be forwarded: ${stderr}`,
      );
  }

  async #cancelForward(direction: '-L' | '-R', what: string): Promise<void> {
    await this.#control('cancel', direction, what);
  }

  async #control(
    request: 'forward' | 'cancel',
    direction: '-L' | '-R',
    what: string,
  ): Promise<{ readonly exitCode: number | undefined; readonly stderr: string }> {
    if (this.ssh === undefined) return { exitCode: 0, stderr: '' };
    const words = ['-O', request, direction, what, ...this.#connections.arguments(this.ssh), this.ssh.host];
    const { exitCode, stderr } = await execa('ssh', words, { stdin: 'ignore', reject: false });
    return { exitCode, stderr };
  }

  #command(asked: string): readonly [string, ...string[]] {
    // What programs say is read, and so is to be in one language.
    const script = `echo ${quote(beginning)}; export LC_ALL=C.UTF-8; unset LANGUAGE\n${asked}`;
    // As root, by sudo where the user is somebody else.
    const asRoot = `if [ "$(id -u)" = 0 ]; then exec bash -c "$0"; else exec sudo -n bash -c "$0"; fi`;
    if (this.ssh === undefined) return ['bash', '-c', asRoot, script];
    return [
      'ssh',
      ...this.#connections.arguments(this.ssh),
      this.ssh.host,
      `exec bash -c ${quote(asRoot)} ${quote(script)}`,
    ];
  }
}

const afterBeginning = (output: string): string =>
  output.slice(output.indexOf(beginning) + beginning.length).replace(/^\n/, '');

/** A command that could not go on has no more lines: how it ended is said elsewhere. */
async function* linesOf(lines: AsyncIterable<string>): AsyncGenerator<string> {
  let begun = false;
  try {
    for await (const line of lines) {
      if (begun) yield line;
      else begun = line.endsWith(beginning);
    }
  } catch {
    return;
  }
}
