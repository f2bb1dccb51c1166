/** A QEMU without a machine that exports a disk over NBD, as slowly as asked: real storage for tests. */
import { Qemu } from '../../../qemu/qemu-process.ts';
import type { QemuInstallation } from '../../../qemu/installation.ts';

export interface NbdServer {
  readonly pid: number | undefined;
  /** As the engine's `--storage` takes it. */
  readonly location: string;
  stop(): Promise<void>;
}

export async function startNbdServer(
  installation: QemuInstallation,
  disk: string,
  socketPath: string,
  bytesPerSecond?: number,
): Promise<NbdServer> {
  const limit =
    bytesPerSecond === undefined ? '' : `,x-bps-read=${bytesPerSecond},x-bps-read-max=${bytesPerSecond}`;
  const qemu = await Qemu.start(installation, [
    ...['-machine', 'none', '-S', '-object', `throttle-group,id=limit${limit}`],
    ...['-blockdev', `file,node-name=file,filename=${disk},read-only=on,locking=off`],
    ...['-blockdev', 'throttle,node-name=disk,throttle-group=limit,file=file,read-only=on'],
  ]);
  try {
    await qemu.execute('nbd-server-start', { addr: { type: 'unix', data: { path: socketPath } } });
    await qemu.execute('block-export-add', { type: 'nbd', id: 'disk', 'node-name': 'disk', name: 'vm disk' });
  } catch (error) {
    await qemu.stop();
    throw error;
  }
  return { pid: qemu.pid, location: nbdLocation(socketPath), stop: () => qemu.stop() };
}

/** The export of a server, or of a proxy before it, on this socket. */
export function nbdLocation(socketPath: string): string {
  return `nbd+unix:///vm%20disk?socket=${socketPath}`;
}
