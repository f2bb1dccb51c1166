/** Runs programs of the guest's own system: the only ones that the agent runs. */
import { spawn } from 'node:child_process';
import { lstatSync, realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import { GuestError, systemErrorCode } from './guest-error.ts';

const groupOrOthersWrite = 0o022;

/**
 * The first of the paths that is there, and that nobody but root can change: the file, its folders, and what links lead to.
 * @throws GuestError 'command-failed'
 */
export function findTrustedProgram(paths: readonly string[]): string {
  let refused = 'is not there';
  for (const path of paths) {
    try {
      const program = realpathSync(path);
      if (isRootsAlone(path) && isRootsAlone(program) && lstatSync(program).isFile()) return program;
      refused = 'could be changed by others than root';
    } catch (error) {
      if (systemErrorCode(error) === undefined) throw error;
    }
  }
  throw new GuestError('command-failed', `${paths.join(', ')}: ${refused}`);
}

function isRootsAlone(path: string): boolean {
  for (let at = path; ; at = dirname(at)) {
    const { uid, mode } = lstatSync(at);
    // A link's own mode says nothing: who may change it is a matter of its folder.
    if (uid !== 0 || (!lstatSync(at).isSymbolicLink() && (mode & groupOrOthersWrite) !== 0)) return false;
    if (at === dirname(at)) return true;
  }
}

/** A program that did not end in time, or printed too much. */
export class OverLimitError extends GuestError {}

interface ProgramOutput {
  readonly stdout: string;
  /** Exit status, or undefined when it was ended by a signal. */
  readonly status: number | undefined;
  readonly stderr: string;
}

/**
 * Runs a trusted program with nothing of this process's environment. `files`, open descriptors, become its 3, 4, ...: a name that a
 * user of the guest chose is never an argument, nor in what the program prints.
 *
 * @param onText gets what it prints as it comes, in place of `stdout`
 * @throws GuestError 'command-failed' if it does not start; OverLimitError beyond one of the limits
 */
export function runTrusted(
  program: string,
  args: readonly string[],
  files: readonly number[],
  { timeoutMs, maxOutputBytes }: { readonly timeoutMs: number; readonly maxOutputBytes: number },
  onText?: (text: string) => void,
): Promise<ProgramOutput> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: '/',
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
      stdio: ['ignore', 'pipe', 'pipe', ...files],
    });
    const output: Buffer[] = [];
    let outputBytes = 0;
    let stderr = '';
    const stop = (reason: string): void => {
      child.kill('SIGKILL');
      reject(new OverLimitError('command-failed', `${program} ${reason}`));
    };
    const timer = setTimeout(() => {
      stop(`did not end within ${timeoutMs} ms`);
    }, timeoutMs);
    child.once('error', (cause) => {
      clearTimeout(timer);
      reject(new GuestError('command-failed', `${program} cannot be run: ${cause.message}`, cause));
    });
    child.stdout?.on('data', (chunk: Buffer) => {
      outputBytes += chunk.length;
      if (outputBytes > maxOutputBytes) stop(`prints more than ${maxOutputBytes} bytes`);
      else if (onText === undefined) output.push(chunk);
      else onText(chunk.toString('latin1'));
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      if (stderr.length < 1000) stderr += chunk.toString();
    });
    child.once('close', (status) => {
      clearTimeout(timer);
      resolve({ stdout: Buffer.concat(output).toString(), status: status ?? undefined, stderr });
    });
  });
}
