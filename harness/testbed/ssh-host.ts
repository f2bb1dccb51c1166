/** A host behind an ssh configuration file: local containers and real machines are reached by the same code. */
import { quote } from '../../foundation/shell.ts';
import { createHash, randomUUID } from 'node:crypto';
import { on } from 'node:events';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { ExecaError, execa } from 'execa';
import type { Host, HostName, HostProcess, RunOptions, RunResult } from './host.ts';
import { hostFolder } from './host.ts';
import { hostError } from './host-error.ts';

interface SshHostOptions<Name extends string> {
  readonly name: Name;
  /** ssh configuration with an entry of that name; it sets user, keys, host keys and ControlMaster. */
  readonly configPath: string;
  /** Folder for the local ends of forwarded sockets; socket paths must stay below 108 bytes. */
  readonly socketFolder: string;
  readonly qemuBinary: string;
  /** In place of the entry's. */
  readonly address?: string;
  /** The user of the ssh configuration is not root, but may run everything by `sudo` without a password. */
  readonly sudo: boolean;
}

/** Programs that the harness brings with it, such as Node. */
export const programFolder = `${hostFolder}/bin`;

/**
 * Shell command: makes the folder of sockets and consoles, which is root's alone, or that of the user whose ssh connection
 * forwards the sockets, and who may become root there.
 */
export const makeRunFolder = `install -d -m 700 -o "\${SUDO_UID:-0}" /run/poolshift`;

const defaultTimeoutMs = 60_000;
const outputTailLines = 20;
/** Exit code of ssh itself. */
const connectionLost = 255;
/** How long a spawned command may take to end by itself once its input has ended. */
const inputGraceSeconds = 20;

/** A host by default; the guest is reached in the same way, and is none of them. */
export class SshHost<Name extends HostName | 'guest' = HostName> implements Omit<Host, 'name'> {
  readonly name: Name;
  readonly qemuBinary: string;
  readonly #config: string;
  readonly #address: readonly string[];
  readonly #socketFolder: string;
  readonly #sudo: boolean;

  constructor({ name, address, qemuBinary, configPath, socketFolder, sudo }: SshHostOptions<Name>) {
    this.name = name;
    this.qemuBinary = qemuBinary;
    this.#config = configPath;
    this.#address = address === undefined ? [] : ['-o', `HostName=${address}`];
    this.#socketFolder = socketFolder;
    this.#sudo = sudo;
  }

  async run(command: string, options: RunOptions = {}): Promise<RunResult> {
    const { timeoutMs = defaultTimeoutMs, input, okExitCodes = [0] } = options;
    // The host ends the command by itself, so that nothing stays there when this side gives up or dies.
    const bounded = `timeout --kill-after=2 ${(timeoutMs / 1000).toFixed(3)} bash -c ${quote(withPrograms(command))}`;
    const startedMs = performance.now();
    const child = execa('ssh', [...this.#sshTo, this.#asRoot(bounded)], {
      ...(input === undefined ? { stdin: 'ignore' } : { input }),
      // A Ctrl-C in the terminal is for the harness alone.
      detached: true,
      reject: false,
      stripFinalNewline: false,
      maxBuffer: 256 * 2 ** 20,
    });
    // A little later than the host's own limit: only a host that does not answer gets here. The connection's master holds
    // the pipes of a client that was killed, so their ends must not be waited for.
    const silence = new AbortController();
    const timer = setTimeout(() => {
      silence.abort();
      child.kill('SIGKILL');
      for (const stream of [child.stdout, child.stderr]) stream.destroy();
    }, timeoutMs + 5000);
    const result = await child;
    clearTimeout(timer);
    const { stdout, stderr, exitCode } = result;
    if (exitCode !== undefined && okExitCodes.includes(exitCode)) return { stdout, stderr, exitCode };
    const failure = { host: this.name, command, output: tail(`${stdout}\n${stderr}`), cause: result };
    // These are the exit codes of `timeout`, but a command may end with them early, of its own accord.
    const outOfTime = (exitCode === 124 || exitCode === 137) && performance.now() - startedMs >= timeoutMs;
    if (silence.signal.aborted || outOfTime)
      throw hostError('timeout', { ...failure, output: `after ${timeoutMs} ms\n${failure.output}` });
    throw hostError(
      exitCode === connectionLost || exitCode === undefined ? 'unreachable' : 'command-failed',
      {
        ...failure,
        exitCode,
      },
    );
  }

  spawn(command: string): HostProcess {
    const folder = `/run/poolshift/spawned/${randomUUID()}`;
    const script = this.#asRoot(`bash -c ${quote(spawnScript(folder, withPrograms(command)))}`);
    const child = execa('ssh', [...this.#sshTo, script], {
      stdin: 'pipe',
      buffer: { stdout: false, stderr: true },
      reject: false,
      // A Ctrl-C in the terminal must not end it before the harness has it stopped.
      detached: true,
    });
    // The command may be gone before its input is closed.
    child.stdin.on('error', () => undefined);
    let exitCode: number | undefined;
    const ended = child.then((result) => {
      exitCode = result.exitCode;
      return { exitCode: result.exitCode, stderrTail: tail(result.stderr) };
    });
    const stop = async (): Promise<void> => {
      child.stdin.end();
      const endedByItself = exitCode !== undefined && exitCode !== connectionLost;
      // By way of the host: killing the local ssh would leave the command to the grace time of its input.
      if (!endedByItself) await this.run(stopScript(folder), { timeoutMs: 15_000 }).catch(() => undefined);
      child.kill();
      await ended;
    };
    let stopping: Promise<void> | undefined;
    return {
      lines: linesOf(child.stdout),
      write: (text) => void child.stdin.write(text),
      closeInput: () => void child.stdin.end(),
      stop: () => (stopping ??= stop()),
      ended,
    };
  }

  async copyTo(localPath: string, remotePath: string): Promise<void> {
    const { dir, base } = path.parse(path.resolve(localPath));
    const pack = ['tar', ...packArguments, '-C', dir, '--', base];
    const script = this.#asRoot(`bash -c ${quote(unpackScript(base, remotePath))}`);
    await this.#pipe(pack, ['ssh', ...this.#sshTo, script]);
  }

  async copyFrom(remotePath: string, localPath: string): Promise<void> {
    const { dir, base } = path.posix.parse(remotePath);
    const pack = ['tar', ...packArguments, '-C', dir, '--', base].map(quote).join(' ');
    const unpack = ['bash', '-c', unpackScript(base, path.resolve(localPath))];
    await this.#pipe(['ssh', ...this.#sshTo, this.#asRoot(pack)], unpack);
  }

  async forwardSocket(remotePath: string): Promise<string> {
    const pathHash = createHash('sha256').update(remotePath).digest('hex').slice(0, 8);
    const local = path.join(this.#socketFolder, `${this.name}-${pathHash}.sock`);
    const forward = ['-L', `${local}:${remotePath}`, ...this.#sshTo];
    // A forward of an earlier machine under the same path would keep its listener.
    await execa('ssh', ['-O', 'cancel', ...forward], { stdin: 'ignore', reject: false });
    await rm(local, { force: true });
    // Makes the connection if there is none: `-O` needs one. The host's end of it is the user's, not root's.
    await this.run(this.#sudo ? `chown "$SUDO_UID" ${quote(remotePath)}` : 'true');
    try {
      await execa('ssh', ['-O', 'forward', ...forward], { stdin: 'ignore', detached: true });
    } catch (error) {
      const output = error instanceof ExecaError ? tail(String(error.stderr)) : String(error);
      throw hostError('forward-failed', {
        host: this.name,
        command: `forward ${remotePath}`,
        output,
        cause: error,
      });
    }
    return local;
  }

  get #sshTo(): readonly string[] {
    return ['-F', this.#config, ...this.#address, this.name];
  }

  /** A command of the host's shell. */
  #asRoot(command: string): string {
    return `exec ${this.#sudo ? 'sudo -n ' : ''}${command}`;
  }

  async #pipe(from: readonly string[], to: readonly string[]): Promise<void> {
    const command = [from, to].map((words) => words.map(quote).join(' ')).join(' | ');
    try {
      await execa('bash', ['-o', 'pipefail', '-c', command], { stdin: 'ignore', detached: true });
    } catch (error) {
      const output = error instanceof ExecaError ? tail(String(error.stderr)) : String(error);
      throw hostError('copy-failed', { host: this.name, command, output, cause: error });
    }
  }
}

const withPrograms = (command: string): string => `PATH=${programFolder}:$PATH\n${command}`;

/** Images have holes; owners are those of the receiver. */
const packArguments = ['--create', '--file=-', '--sparse', '--owner=0', '--group=0'];

/** Reads an archive with one member, which appears under its new path whole or not at all. */
function unpackScript(member: string, target: string): string {
  const parent = path.posix.dirname(target);
  return `set -eu
mkdir -p ${quote(parent)}
staging=$(mktemp -d ${quote(`${parent}/.copy-XXXXXX`)})
trap 'rm -rf "$staging"' EXIT
tar --extract --file=- --directory="$staging" --no-same-owner
mv -T -- "$staging"/${quote(member)} ${quote(target)}`;
}

/** Reading starts at once, and lines are kept until they are asked for: nothing is lost to a late reader. */
function linesOf(stdout: Readable): AsyncIterable<string> {
  const arrivals = on(createInterface({ input: stdout }), 'line', { close: ['close'] }) as AsyncIterable<
    [string]
  >;
  return (async function* () {
    for await (const [line] of arrivals) yield line;
  })();
}

/**
 * Runs the command in a session and process group of its own, which is killed when the command ends. Its input comes
 * through a watcher: when that ends, because the harness closed it, was killed, or the connection was lost, the group
 * has a while to end and is then killed. A transient systemd unit outlives the connection too, and would need the same
 * watcher.
 */
function spawnScript(folder: string, command: string): string {
  const start = `echo $$ > ${folder}/group; [ ! -e ${folder}/stopped ] || exit 143; exec bash -c "$1"`;
  return `set -u
${makeRunFolder}
mkdir -p ${folder}
watch() {
  cat
  exec >&-
  for attempt in $(seq ${inputGraceSeconds * 10}); do sleep 0.1; kill -0 -- -"$(cat ${folder}/group)" || exit; done
  kill -KILL -- -"$(cat ${folder}/group)"
}
setsid --wait bash -c ${quote(start)} bash ${quote(command)} < <(watch 2> /dev/null)
status=$?
kill -KILL -- -"$(cat ${folder}/group)" 2> /dev/null
rm -r ${folder}
exit $status`;
}

/**
 * The mark keeps a command from starting that has not come so far. It ends when no process of the group is left: a
 * signal that was sent is not yet a process that is gone.
 */
function stopScript(folder: string): string {
  return `mkdir -p ${folder}
: > ${folder}/stopped
group=$(cat ${folder}/group 2> /dev/null) || exit 0
for signal in TERM KILL; do
  kill -$signal -- -"$group" 2> /dev/null || exit 0
  for attempt in $(seq 100); do kill -0 -- -"$group" 2> /dev/null || exit 0; sleep 0.05; done
done`;
}

function tail(text: string): string {
  return text.trim().split('\n').slice(-outputTailLines).join('\n');
}
