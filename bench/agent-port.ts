/** The agent's answer from request to decoded list, natively: through a pseudo-terminal, where a guest has its virtio port. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type PageListAnswer, requestPageList } from '../engine/pages/agent-client.ts';
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
  try {
    const ends = [`PTY,link=${terminal},raw,echo=0`, `UNIX-LISTEN:${socket},fork`];
    children.push(spawn('socat', ['-b', '65536', ...ends], { stdio: 'inherit' }));
    await appears(socket);
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
    for (const child of children) {
      child.kill();
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    await rm(folder, { recursive: true });
  }
}

async function appears(file: string): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (existsSync(file)) return;
    await sleep(20);
  }
  throw new Error(`${file} did not appear`);
}
