/** --verify-ram: both VMs are paused after the migration, and their RAM must be the same. */
import { z } from 'zod';
import { bundleProgram } from '../probes/bundle.ts';
import type { HostProcess, Testbed } from '../testbed/host.ts';
import { quote } from '../../foundation/shell.ts';
import { firstVm, type VmPlace } from '../vm/vm-place.ts';
import type { MigrationContext } from './migration/migration.ts';

const port = 4445;

const resultSchema = z.object({
  pages_compared: z.number().int().positive(),
  pages_differing: z.number().int().nonnegative(),
  first_differing: z.array(z.number()),
});

type RamComparison = z.infer<typeof resultSchema>;

/** The source's RAM crosses the migration network, whose measured use is over by now. @throws CodedError 'host' */
export async function compareRam(
  testbed: Testbed,
  deploy: MigrationContext['deploy'],
  log: (line: string) => void,
  vm: VmPlace = firstVm,
): Promise<RamComparison> {
  const { ram } = vm.machine.paths;
  const program = await deploy(await bundleProgram('ram-compare', log), 'dst');
  const offer = await offerRam(testbed, ram);
  try {
    return await compareWithOffer(testbed, program, ram);
  } finally {
    await offer.stop();
  }
}

/**
 * Opens the source's RAM for one comparison. It is kept from then on, even if its file or its QEMU goes.
 * @throws CodedError 'host'
 */
export async function offerRam(testbed: Testbed, file: string): Promise<HostProcess> {
  const { src } = testbed.hosts;
  const address = testbed.networks.migration.addresses.src;
  const offer = src.spawn(
    `exec socat -u OPEN:${quote(file)},rdonly TCP-LISTEN:${port},bind=${address},reuseaddr`,
  );
  try {
    await src.run(
      `for attempt in $(seq 100); do ss -ltn | grep -q ':${port} ' && exit 0; sleep 0.05; done; exit 1`,
    );
    return offer;
  } catch (error) {
    await offer.stop();
    throw error;
  }
}

/**
 * Compares what is offered with the destination's RAM.
 * @param program the bundled ram-compare.ts on the destination
 * @throws CodedError 'host'
 */
export async function compareWithOffer(
  { hosts, networks }: Testbed,
  program: string,
  file: string,
): Promise<RamComparison> {
  const { stdout } = await hosts.dst.run(
    `node ${program} ${quote(file)} ${networks.migration.addresses.src} ${port}`,
    { timeoutMs: 30 * 60_000 },
  );
  return resultSchema.parse(JSON.parse(stdout));
}
