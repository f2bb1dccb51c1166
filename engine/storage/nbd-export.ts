/**
 * Starts `qemu-storage-daemon` to read an image that QEMU can open but this host's kernel cannot: a qcow2 image, or `nfs://` on
 * a machine whose kernel has no NFS client.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { lstat, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '../../foundation/coded-error.ts';
import { connectNbd } from './nbd-client.ts';
import type { StorageReader } from './storage-reader.ts';

const startTimeoutMs = 10_000;
const errorTailBytes = 2000;

const folderPrefix = 'poolshift-storage-';

/** Removes what engines of this user have left that were killed: the folder's name has the process that made it. */
export async function sweepFolders(parent = tmpdir()): Promise<void> {
  for (const name of await readdir(parent)) {
    const pid = new RegExp(`^${folderPrefix}(\\d+)-`).exec(name)?.[1];
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    const folder = join(parent, name);
    const stat = await lstat(folder).catch(() => undefined);
    if (stat?.isDirectory() !== true || stat.uid !== process.geteuid?.()) continue;
    await rm(folder, { recursive: true, force: true });
  }
}

/** A node of QEMU's block layer with those below it, as in QMP's blockdev-add. */
export type Blockdev = Readonly<Record<string, unknown>>;

/** Of a node whose content is the disk's. */
export function rawBlockdev(file: Blockdev): Blockdev {
  return { driver: 'raw', 'read-only': true, file };
}

/** A URI with its path as it is meant; undefined for what is none. */
export function readUri(text: string): { readonly url: URL; readonly path: string } | undefined {
  try {
    const url = new URL(text);
    return { url, path: decodeURIComponent(url.pathname) };
  } catch {
    // As in "100%", of which the sign has to be written as %25.
    return undefined;
  }
}

/** QEMU's description of an NFS image, from its URI (block/nfs.c). @throws CodedError 'storage', 'invalid-place' */
export function nfsBlockdev(uri: string): Blockdev {
  const { url, path = '' } = readUri(uri) ?? {};
  if (url === undefined || url.hostname === '' || path.length < 2 || url.port !== '') {
    throw new CodedError('storage', 'invalid-place', `"${uri}" is not nfs://HOST/PATH`);
  }
  return {
    driver: 'nfs',
    server: { type: 'inet', host: url.hostname.replace(/^\[|\]$/g, '') },
    path,
    'read-only': true,
    cache: { direct: true, 'no-flush': false },
  };
}

const daemonProgram = 'qemu-storage-daemon';
const nodeName = { 'node-name': 'image' };

/**
 * Why the daemon ended: what it says behind the description of the image, which it repeats, and which is longer than what is passed on
 * of a reason.
 */
export function reasonIn(errors: string): string {
  const descriptionEnd = `${JSON.stringify(nodeName).slice(1)}: `;
  const at = errors.lastIndexOf(descriptionEnd);
  return (at < 0 ? errors : errors.slice(at + descriptionEnd.length)).trim();
}

/**
 * Opens an image through a storage daemon of its own, read-only. The daemon ends with `close()`, and with this process.
 *
 * @throws CodedError 'storage', 'nbd' with the daemon's last words, or if it is not installed
 */
export async function openThroughStorageDaemon(image: Blockdev): Promise<StorageReader> {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  if (!folders.some((folder) => existsSync(join(folder, daemonProgram)))) {
    const packages = 'Debian 13: qemu-utils; Debian 12: qemu-system-common';
    throw new CodedError('storage', 'nbd', `${daemonProgram} is needed and not installed (${packages})`);
  }
  await sweepFolders();
  const folder = await mkdtemp(join(tmpdir(), `${folderPrefix}${process.pid}-`));
  const socketPath = join(folder, 'nbd');
  // The daemon writes it when the export is there; its socket is there before it listens (storage-daemon/qemu-storage-daemon.c).
  const readyPath = join(folder, 'pid');
  // setpriv has the kernel end the daemon when this process is killed.
  const daemon = spawn(
    'setpriv',
    [
      ...['--pdeathsig', 'KILL', daemonProgram],
      ...['--blockdev', JSON.stringify({ ...image, ...nodeName })],
      ...['--nbd-server', `addr.type=unix,addr.path=${socketPath}`],
      ...['--export', 'type=nbd,id=export,node-name=image,name=image,writable=off'],
      ...['--pidfile', readyPath],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let errors = '';
  const over = new AbortController();
  const ended = new Promise<void>((resolve) => {
    over.signal.addEventListener('abort', () => {
      resolve();
    });
  });
  daemon.once('error', (error) => {
    errors += error.message;
    over.abort();
  });
  daemon.once('close', () => {
    over.abort();
  });
  daemon.stderr.on('data', (text: Buffer) => (errors = (errors + text.toString()).slice(-errorTailBytes)));
  const stop = async (): Promise<void> => {
    daemon.kill('SIGTERM');
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const deadline = performance.now() + startTimeoutMs;
    while (!existsSync(readyPath)) {
      if (over.signal.aborted || performance.now() > deadline) {
        throw new CodedError(
          'storage',
          'nbd',
          `${daemonProgram} does not start: ${reasonIn(errors) || 'no reason given'}`,
        );
      }
      await sleep(20);
    }
    const reader = await connectNbd(socketPath, 'image');
    return {
      sizeBytes: reader.sizeBytes,
      read: (into, offsetBytes) => reader.read(into, offsetBytes),
      close: async () => {
        await reader.close();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
