/** A host behind an ssh configuration file: local containers and real machines are reached by the same code. */
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { ExecaError, execa } from 'execa';
import type { Host, HostName, HostProcess, RunOptions, RunResult } from './host.ts';
import { HostError } from './host-error.ts';

export interface SshHostOptions {
  readonly name: HostName;
  /** ssh configuration with an entry of that name; it sets user, keys, host keys and ControlMaster. */
  readonly configPath: string;
  /** Folder for the local ends of forwarded sockets; socket paths must stay below 108 bytes. */
  readonly socketFolder: string;
}

const defaultTimeoutMs = 60_000;
const outputTailLines = 20;
/** How long a spawned command may take to end by itself once its input has ended. */
const inputGraceSeconds = 20;

export class SshHost implements Host {
  readonly name: HostName;
  readonly #config: string;
  readonly #socketFolder: string;

  constructor({ name, configPath, socketFolder }: SshHostOptions) {
    this.name = name;
    this.#config = configPath;
    this.#socketFolder = socketFolder;
  }

  async run(command: string, options: RunOptions = {}): Promise<RunResult> {
    const { timeoutMs = defaultTimeoutMs, input, okExitCodes = [0], signal } = options;
    // The host ends the command by itself, so that nothing stays there when this side gives up or dies.
    const bounded = `exec timeout --kill-after=2 ${(timeoutMs / 1000).toFixed(3)} bash -c ${quote(command)}`;
    const result = await execa('ssh', ['-F', this.#config, this.name, bounded], {
      ...(input === undefined ? { stdin: 'ignore' } : { input }),
      ...(signal === undefined ? {} : { cancelSignal: signal }),
      // A little later than the host's own limit: only a host that does not answer gets here.
      timeout: timeoutMs + 5000,
      reject: false,
      stripFinalNewline: false,
      maxBuffer: 256 * 2 ** 20,
    });
    const stdout = result.stdout;
    const { stderr, exitCode } = result;
    if (exitCode !== undefined && okExitCodes.includes(exitCode)) return { stdout, stderr, exitCode };
    const details = {
      host: this.name,
      command,
      exitCode,
      output: tail(`${stdout}\n${stderr}`),
      cause: result,
    };
    if (result.isCanceled) throw new HostError('aborted', { ...details, exitCode: undefined });
    if (result.timedOut || exitCode === 124 || exitCode === 137)
      throw new HostError('timeout', {
        ...details,
        exitCode: undefined,
        output: `after ${timeoutMs} ms\n${details.output}`,
      });
    throw new HostError(
      exitCode === 255 || exitCode === undefined ? 'unreachable' : 'command-failed',
      details,
    );
  }

  spawn(command: string, options: { readonly signal?: AbortSignal } = {}): HostProcess {
    const folder = `/run/poolshift/spawned/${randomUUID()}`;
    const child = execa(
      'ssh',
      ['-F', this.#config, this.name, `exec bash -c ${quote(spawnScript(folder, command))}`],
      {
        stdin: 'pipe',
        buffer: { stdout: false, stderr: true },
        ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
        reject: false,
        // A Ctrl-C in the terminal must not end it before the harness has it stopped.
        detached: true,
      },
    );
    // The command may be gone before its input is closed.
    child.stdin.on('error', () => undefined);
    const lines = createInterface({ input: child.stdout });
    const ended = child.then(({ exitCode, stderr }) => ({ exitCode, stderrTail: tail(stderr) }));
    let stopping: Promise<void> | undefined;
    const stop = async (): Promise<void> => {
      child.stdin.end();
      // By way of the host: killing the local ssh would leave the command to the grace time of its input.
      await this.run(
        `group=$(cat ${folder}/group 2> /dev/null) || exit 0
kill -TERM -- -"$group" 2> /dev/null || exit 0
for attempt in $(seq 50); do kill -0 -- -"$group" 2> /dev/null || exit 0; sleep 0.1; done
kill -KILL -- -"$group" 2> /dev/null || true`,
        { timeoutMs: 15_000 },
      ).catch(() => undefined);
      child.kill();
      await ended;
    };
    return {
      lines,
      write: (text) => void child.stdin.write(text),
      closeInput: () => void child.stdin.end(),
      stop: () => (stopping ??= stop()),
      ended,
    };
  }

  async copyTo(localPath: string, remotePath: string): Promise<void> {
    await this.run(`mkdir -p ${quote(path.posix.dirname(remotePath))}`);
    await this.#local('copy-failed', 'scp', [
      '-q',
      '-r',
      '-p',
      '-F',
      this.#config,
      localPath,
      `${this.name}:${remotePath}`,
    ]);
  }

  async copyFrom(remotePath: string, localPath: string): Promise<void> {
    await this.#local('copy-failed', 'scp', [
      '-q',
      '-r',
      '-p',
      '-F',
      this.#config,
      `${this.name}:${remotePath}`,
      localPath,
    ]);
  }

  async forwardSocket(remotePath: string): Promise<string> {
    const local = path.join(this.#socketFolder, `${this.name}-${path.posix.basename(remotePath)}`);
    // A forward of an earlier machine under the same path would keep its listener.
    await execa('ssh', ['-F', this.#config, '-O', 'cancel', '-L', `${local}:${remotePath}`, this.name], {
      reject: false,
    });
    await rm(local, { force: true });
    await this.run('true');
    await this.#local('forward-failed', 'ssh', [
      '-F',
      this.#config,
      '-O',
      'forward',
      '-L',
      `${local}:${remotePath}`,
      this.name,
    ]);
    return local;
  }

  async #local(
    code: 'copy-failed' | 'forward-failed',
    file: string,
    arguments_: readonly string[],
  ): Promise<void> {
    try {
      await execa(file, arguments_, { stdin: 'ignore' });
    } catch (error) {
      const output = error instanceof ExecaError ? tail(String(error.stderr)) : String(error);
      throw new HostError(code, {
        host: this.name,
        command: [file, ...arguments_].join(' '),
        output,
        cause: error,
      });
    }
  }
}

/**
 * Runs the command in a process group of its own. Its input comes through a watcher: when that ends, because the
 * harness closed it, was killed, or the connection was lost, the group has a while to end and is then killed.
 */
function spawnScript(folder: string, command: string): string {
  return `set -u
mkdir -p ${folder}
watch() {
  cat
  exec >&-
  for attempt in $(seq ${inputGraceSeconds * 10}); do sleep 0.1; [ -e ${folder} ] || exit; done
  kill -KILL -- -"$(cat ${folder}/group)"
}
setsid --wait bash -c 'echo $$ > ${folder}/group; exec bash -c "$1"' bash ${quote(command)} < <(watch 2> /dev/null)
status=$?
rm -r ${folder}
exit $status`;
}

/** As one word of a shell command. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function tail(text: string): string {
  return text.trim().split('\n').slice(-outputTailLines).join('\n');
}
