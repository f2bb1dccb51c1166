/** What a run takes of each machine, for machines that are not the local lab. Pure. */
import { gib, mib } from '../../foundation/quantity.ts';
import type { Configuration } from '../../experiments/configuration.ts';
import type { HostName } from '../testbed/host.ts';

export interface HostNeeds {
  readonly memoryBytes: number;
  /** In /dev/shm, where the VM's RAM lies as a file; it counts in `memoryBytes`, too. */
  readonly sharedMemoryBytes: number;
  /** Below /var/lib/poolshift: Node, programs, kernel, and the image on the nfs host. */
  readonly diskBytes: number;
  /** In the exported folder. */
  readonly exportBytes: number;
}

/** Both VM hosts hold every VM; the image is copied to the nfs host once, and there once more for each VM of a run. */
export function hostNeeds(configuration: Configuration, host: HostName): HostNeeds {
  // The guest's system and what the server writes while it runs.
  const imageBytes = configuration.tableDataBytes + 900 * mib;
  const { vms = 1 } = configuration;
  const programBytes = 300 * mib;
  switch (host) {
    case 'src':
    case 'dst':
      return {
        memoryBytes: vms * (configuration.vmMemoryBytes + 600 * mib),
        sharedMemoryBytes: vms * configuration.vmMemoryBytes,
        diskBytes: programBytes,
        exportBytes: 0,
      };
    case 'nfs':
      return {
        memoryBytes: 300 * mib,
        sharedMemoryBytes: 0,
        diskBytes: programBytes + imageBytes,
        exportBytes: vms * imageBytes + gib / 2,
      };
    case 'client':
      return { memoryBytes: 300 * mib, sharedMemoryBytes: 0, diskBytes: programBytes, exportBytes: 0 };
  }
}
