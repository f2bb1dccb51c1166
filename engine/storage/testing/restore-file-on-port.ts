/** The program for the guest: `FileRestore` behind the guest agent's virtio-serial port. */
import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { FileRestore } from './restore-file.ts';

const mountPoint = '/tmp/nfs';
const port = await open('/dev/virtio-ports/poolshift.agent.0', 'r+');
const restore = await FileRestore.open(`${mountPoint}/kernel-mount.bin`, mountPoint);
const chunk = Buffer.alloc(65_536);
let text = '';
for (;;) {
  // Without a host at the other end a read gives nothing at once.
  const { bytesRead } = await port.read(chunk, 0, chunk.length, null);
  if (bytesRead === 0) await sleep(50);
  text += chunk.toString('latin1', 0, bytesRead);
  const end = text.indexOf('\n');
  if (end < 0) continue;
  const bytes = Buffer.from(text.slice(0, end), 'base64');
  text = text.slice(end + 1);
  const hashes = new Uint32Array(bytes.length / 4);
  for (let i = 0; i < hashes.length; i++) hashes[i] = bytes.readUInt32LE(4 * i);
  const answer = await restore.restore(hashes).catch((error: unknown) => ({ error: String(error) }));
  await port.writeFile(`${JSON.stringify(answer)}\n`);
}
