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

export function diskPlace(
  testbed: Pick<Testbed, 'exportPath' | 'mountPath' | 'networks'>,
  name: string,
): DiskPlace {
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
