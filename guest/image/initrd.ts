/** Appends what differs from run to run to the guest's initial RAM disk: keys and the guest agent. */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createHash } from 'node:crypto';
import { prepare, type Log } from '../../scripts/cache.ts';
import { cpioArchive, padding, type CpioEntry } from './cpio.ts';

interface InitrdOptions {
  /** `initrdPath` of a prepared guest image. */
  readonly base: string;
  /** Public key in OpenSSH's format, which may log in as root. */
  readonly authorizedKey: string;
  /** Private host key in OpenSSH's format. Without it the guest makes one when it starts. */
  readonly hostKey?: string;
  /** The guest agent as one JavaScript file. Without it no agent is started. */
  readonly agentBundlePath?: string;
  readonly log?: Log;
}

/** Returns the path of the initial RAM disk, which is cached by its content. */
export async function makeInitrd({
  base,
  authorizedKey,
  hostKey,
  agentBundlePath,
  log = () => undefined,
}: InitrdOptions): Promise<string> {
  const archive = overlayArchive({
    authorizedKey,
    hostKey,
    agent: agentBundlePath === undefined ? undefined : await readFile(agentBundlePath),
  });
  const entry = await prepare({
    name: 'guest-initrd',
    keyParts: [base, createHash('sha256').update(archive).digest('hex')],
    log,
    build: async (dir) => {
      const baseContent = await readFile(base);
      // The kernel looks for the next archive at a multiple of four bytes (Linux, init/initramfs.c).
      await writeFile(
        path.join(dir, 'initrd'),
        Buffer.concat([baseContent, padding(baseContent.length), archive]),
        { mode: 0o600 },
      );
    },
  });
  return path.join(entry, 'initrd');
}

interface Overlay {
  readonly authorizedKey: string;
  readonly hostKey: string | undefined;
  readonly agent: Uint8Array | undefined;
}

/** The second archive: everything in it lies in /run/poolshift of the running guest. */
export function overlayArchive({ authorizedKey, hostKey, agent }: Overlay): Buffer {
  const entries: CpioEntry[] = [
    { kind: 'directory', path: 'poolshift' },
    { kind: 'directory', path: 'poolshift/ssh', mode: 0o700 },
    {
      kind: 'file',
      path: 'poolshift/ssh/authorized_keys',
      mode: 0o600,
      content: Buffer.from(`${authorizedKey.trim()}\n`),
    },
  ];
  if (hostKey !== undefined)
    entries.push({
      kind: 'file',
      path: 'poolshift/host_key',
      mode: 0o600,
      content: Buffer.from(`${hostKey.trim()}\n`),
    });
  if (agent !== undefined) entries.push({ kind: 'file', path: 'poolshift/agent.js', content: agent });
  return cpioArchive(entries);
}
