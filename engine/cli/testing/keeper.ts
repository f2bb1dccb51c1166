/**
 * Cleans up after a process that ended without having done so, kill -9 included: a shell in a session of its own holds a pipe
 * from it, and at the pipe's end kills what is marked and removes what was named. Linux.
 */
import { spawn } from 'node:child_process';
import { Socket } from 'node:net';

interface Kept {
  /** An entry of the environment, NAME=VALUE, that only processes of this owner have: they are killed. */
  readonly marker?: string;
  /** Files and folders of this owner alone: they are removed. */
  readonly files: readonly string[];
}

/** `sh -c SCRIPT sh MARKER FILE...`; the line "over" says that nothing is left to do. */
const script = `
while IFS= read -r line; do [ "$line" != over ] || exit 0; done
marker=$1
shift
if [ -n "$marker" ]; then
  for process in /proc/[0-9]*; do
    if grep -qszxF -- "$marker" "$process/environ"; then kill -KILL "\${process#/proc/}"; fi
  done
fi
rm -rf -- "$@"
`;

export class Keeper {
  readonly #input: NodeJS.WritableStream;

  private constructor(input: NodeJS.WritableStream) {
    this.#input = input;
  }

  static start({ marker = '', files }: Kept): Keeper {
    const shell = spawn('sh', ['-c', script, 'sh', marker, ...files], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    shell.stdin.on('error', () => undefined);
    // It waits for this process, and not this process for it.
    shell.unref();
    if (shell.stdin instanceof Socket) shell.stdin.unref();
    return new Keeper(shell.stdin);
  }

  /** All has been removed in good order. */
  release(): void {
    this.#input.end('over\n');
  }
}
