/** A host for tests: network interfaces of its own, and a /run of its own, on this machine. Needs root. */
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import type { ExecutionContext } from 'ava';
import { execa } from 'execa';
import type { Host, HostName } from '../testbed/host.ts';
import { localShell } from '../probes/local-shell.fixture.ts';

/** Everything of it is gone with the test. */
export async function namespaceHost(t: ExecutionContext, name: HostName): Promise<Host> {
  const keeper = spawn('unshare', [
    ...['--net', '--mount', '--propagation', 'private', 'sh', '-c'],
    'mount -t tmpfs tmpfs /run && echo ready && exec cat',
  ]);
  t.teardown(() => void keeper.stdin.end());
  await once(keeper.stdout, 'data');
  const enter = ['--target', String(keeper.pid), '--net', '--mount', 'bash', '-c'];
  return {
    ...localShell,
    name,
    run: async (command) => {
      const { stdout, stderr } = await execa('nsenter', [...enter, command], { stripFinalNewline: false });
      return { stdout, stderr, exitCode: 0 };
    },
  };
}
