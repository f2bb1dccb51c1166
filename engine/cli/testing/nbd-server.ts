/** A QEMU without a machine that exports a disk over NBD, as slowly as asked: real storage for tests. */
import { Qemu, type QemuInstallation } from '../../stream/capture/qemu.ts';

export async function startNbdServer(
  installation: QemuInstallation,
  disk: string,
  socketPath: string,
  bytesPerSecond?: number,
): Promise<{ readonly location: string; stop(): Promise<void> }> {
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
  return { location: `nbd+unix:///vm%20disk?socket=${socketPath}`, stop: () => qemu.stop() };
}
