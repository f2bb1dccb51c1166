/** The agent's answer from request to decoded list, natively: through a pseudo-terminal, where a guest has its virtio port. */
import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { type PageListAnswer, requestPageList } from '../engine/list/agent-client.ts';
import { agentStart } from '../guest/image/agent-bundle.ts';

/** Requests `count` lists of all servers on this machine, one after the other. */
export async function requestThroughTerminal(
  node: string,
  bundle: string,
  count: number,
): Promise<readonly PageListAnswer[]> {
  const folder = await mkdtemp(path.join(tmpdir(), 'poolshift-agent-'));
  const socket = path.join(folder, 'agent.sock');
  const terminal = path.join(folder, 'port');
  const children: ChildProcess[] = [];
  let server: Server | undefined;
  try {
    const hostEnd = spawn('socat', [`PTY,link=${terminal},raw,echo=0`, 'STDIO'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    children.push(hostEnd);
    await appears(terminal);
    server = await offer(hostEnd, socket);
    children.push(
      spawn(node, [...agentStart.nodeOptions, bundle, '--port', terminal], {
        env: { ...process.env, ...agentStart.environment },
        stdio: 'inherit',
      }),
    );
    const answers: PageListAnswer[] = [];
    while (answers.length < count) answers.push(await requestPageList(socket));
    return answers;
  } finally {
    server?.close();
    for (const child of children) {
      child.kill();
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    await rm(folder, { recursive: true });
  }
}

/** Gives the host's end of the terminal to one client at a time, as QEMU does with a port. */
async function offer(
  { stdin, stdout }: ChildProcessByStdio<Writable, Readable, null>,
  path: string,
): Promise<Server> {
  let client: Socket | undefined;
  stdout.on('data', (chunk: Buffer) => client?.write(chunk));
  const server = createServer((socket) => {
    client = socket;
    socket.on('data', (chunk) => stdin.write(chunk));
    socket.on('error', () => undefined);
  });
  server.listen(path);
  await once(server, 'listening');
  return server;
}

async function appears(file: string): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (existsSync(file)) return;
    await sleep(20);
  }
  throw new Error(`${file} did not appear`);
}
