/**
 * Compares the "memory" of two processes of this machine, files of its /dev/shm, one after the other the domain's; prints the
 * verdict. Arguments: for each, what is written where, as `OFFSET=u32,u32… OFFSET=…`.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { OperatedHost, SshConnections } from './host.ts';
import { folderOf } from './launch.ts';
import { ramFileOf, verificationOf } from './verification.ts';

/** Several chunks, the last of which is not whole. */
const memoryBytes = 40 << 20;
const [before = '', after = ''] = process.argv.slice(2);
const connections = SshConnections.open();
const host = new OperatedHost(undefined, connections);
const id = 'vm1-0a';
for (const folder of [folderOf(id), '/run/libvirt/qemu']) mkdirSync(folder, { recursive: true });

/** A process with such a file, as the domain's from now on. */
async function become(name: string, content: string): Promise<() => void> {
  const file = `/dev/shm/${name}`;
  const memory = Buffer.alloc(memoryBytes);
  for (const written of content.split(' ').filter(Boolean)) {
    const [offset = '', words = ''] = written.split('=');
    for (const [index, word] of words.split(',').entries())
      memory.writeUInt32LE(Number(word), Number(offset) + 4 * index);
  }
  writeFileSync(file, memory);
  const child = spawn('bash', ['-c', 'exec 5< "$0"; exec sleep 60', file], { stdio: 'ignore' });
  writeFileSync('/run/libvirt/qemu/vm1.pid', `${child.pid ?? 0}\n`);
  while ((await ramFileOf(host, 'vm1', memoryBytes)) === undefined) await sleep(20);
  return () => void child.kill();
}

const verification = verificationOf({
  id,
  domain: { name: 'vm1', uuid: '6d3b9f5c-0d2e-4a6f-9c56-1f0f6a1b2c3d' },
  memoryBytes,
  hosts: { source: host, destination: host },
  destinationUri: 'qemu:///system',
});
const endSource = await become('source', before);
await verification.hold();
// Its QEMU ends when it has migrated.
endSource();
const endTarget = await become('target', after);
try {
  const isEqual = await verification.compare();
  console.log(isEqual ? 'equal' : 'differs');
  if (isEqual) await verification.resume();
} catch (error) {
  console.log((error as Error).message);
} finally {
  await verification.release();
  // The holder has ended before, and another process has its pid.
  const other = spawn('bash', ['-c', 'exec 3< /dev/null; exec sleep 60'], { stdio: 'ignore' });
  writeFileSync(`${folderOf(id)}/ram.pid`, `${other.pid ?? 0}\n`);
  await verification.release();
  await sleep(100);
  console.log(other.signalCode ?? 'left alone');
  other.kill();
  endTarget();
  await connections.close([]);
}
