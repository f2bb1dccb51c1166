/** What a VM and its QEMU have said, kept with the run however that ends. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Host } from '../testbed/host.ts';
import { consoleTail, qemuOutput } from '../vm/machine.ts';
import { firstVm, type VmPlace } from '../vm/vm-place.ts';

/** Writes `console-HOST.log` and `qemu-HOST.log`. @throws CodedError 'host' when the host does not answer */
export async function saveVmLogs(host: Host, runFolder: string, vm: VmPlace = firstVm): Promise<void> {
  const save = (name: string, text: string): Promise<void> =>
    writeFile(path.join(runFolder, 'logs', `${name}-${host.name}.log`), `${text}\n`);
  await save('console', await consoleTail(host, 500, vm));
  await save('qemu', await qemuOutput(host, 200, vm));
}
