/** A host for tests: this machine, without ssh. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Host, HostProcess } from '../testbed/host.ts';

export const localShell: Host = {
  name: 'client',
  qemuBinary: 'qemu-system-x86_64',
  run: async (command, options = {}) => {
    const child = spawn('sh', ['-c', command]);
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    // A command may end without reading its input.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
    const [exitCode] = (await once(child, 'close')) as [number | null];
    if (exitCode !== 0) throw new Error(`${command}: ${stderr}`);
    return { stdout, stderr, exitCode };
  },
  spawn: (command): HostProcess => {
    const child = spawn('sh', ['-c', command]);
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.stdin.on('error', () => undefined);
    const ended = once(child, 'close').then(([exitCode]) => ({
      exitCode: (exitCode as number | null) ?? undefined,
      stderrTail: stderr,
    }));
    return {
      lines: createInterface({ input: child.stdout }),
      write: (text) => void child.stdin.write(text),
      closeInput: () => void child.stdin.end(),
      stop: async () => {
        child.kill('SIGKILL');
        await ended;
      },
      ended,
    };
  },
  copyTo: (localPath, remotePath) => cp(localPath, remotePath, { recursive: true }),
  copyFrom: (remotePath, localPath) => cp(remotePath, localPath, { recursive: true }),
  forwardSocket: (remotePath) => Promise.resolve(remotePath),
};
