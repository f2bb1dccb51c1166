/** One disk image on shared storage, as each who opens it names it. Pure. */
import type { Testbed } from '../testbed/host.ts';
import type { Disk } from '../../qemu/machine-arguments.ts';

export interface DiskPlace {
  /** On the nfs host. */
  readonly serverPath: string;
  /** For QEMU on both VM hosts. */
  readonly qemu: Disk;
  /** For the engine's `--storage`. */
  readonly engine: string;
}

type Storage = Pick<Testbed, 'exportPath' | 'mountPath' | 'networks'>;

/** A disk that a run overwrites: in an export that is somebody's own, who may have a "disk.img" there. */
export function runDisk(storage: Storage, stem: string): DiskPlace {
  return diskPlace(storage, `poolshift-${stem}.img`);
}

export function diskPlace(testbed: Storage, name: string): DiskPlace {
  const serverPath = `${testbed.exportPath}/${name}`;
  if (testbed.mountPath !== undefined) {
    const path = `${testbed.mountPath}/${name}`;
    return { serverPath, qemu: { kind: 'file', path }, engine: path };
  }
  const server = testbed.networks.storage.addresses.nfs;
  return {
    serverPath,
    qemu: { kind: 'nfs', server, path: serverPath },
    engine: `nfs://${server}${serverPath}`,
  };
}
