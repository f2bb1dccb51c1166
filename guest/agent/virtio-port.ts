/** The guest's end of a virtio-serial port: a character device (drivers/char/virtio_console.c). */
import { open, type FileHandle } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemErrorCode } from './guest-error.ts';
import type { Channel } from './serve.ts';

/** How soon a host that connects is noticed. Reading is all there is to find out. */
const idleMs = 100;
/** How soon a device that appears is noticed. */
const absentMs = 1000;

export class VirtioPort implements Channel {
  private readonly handle: FileHandle;
  private readonly buffer = new Uint8Array(4096);

  private constructor(handle: FileHandle) {
    this.handle = handle;
  }

  /** Opens the port, waiting for its device to appear. @throws a system error such as EBUSY (another agent) or EACCES */
  static async open(path: string, onAbsent: () => void): Promise<VirtioPort> {
    for (let attempt = 0; ; attempt++) {
      try {
        return new VirtioPort(await open(path, 'r+'));
      } catch (error) {
        if (systemErrorCode(error) !== 'ENOENT') throw error;
        if (attempt === 0) onAbsent();
        await sleep(absentMs);
      }
    }
  }

  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      try {
        const { bytesRead } = await this.handle.read(this.buffer, 0, this.buffer.length, null);
        if (bytesRead > 0) return this.buffer.subarray(0, bytesRead);
        // Nobody has the host's end open.
        await sleep(idleMs);
      } catch (error) {
        if (systemErrorCode(error) === 'EAGAIN') await sleep(idleMs);
        else if (isGone(error)) return undefined;
        else throw error;
      }
    }
  }

  /** Waits while the host's end is closed or full. Bytes for a device that is gone are dropped. */
  async write(bytes: Uint8Array): Promise<void> {
    let done = 0;
    while (done < bytes.length) {
      try {
        const { bytesWritten } = await this.handle.write(bytes, done, bytes.length - done, null);
        done += bytesWritten;
        if (bytesWritten === 0) await sleep(idleMs);
      } catch (error) {
        if (systemErrorCode(error) === 'EAGAIN') await sleep(idleMs);
        else if (isGone(error)) return;
        else throw error;
      }
    }
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}

/** The port was unplugged. */
function isGone(error: unknown): boolean {
  const code = systemErrorCode(error);
  return code === 'ENODEV' || code === 'ENXIO' || code === 'EPIPE' || code === 'EIO';
}
