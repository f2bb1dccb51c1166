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
  /** The guest's wall clock alone differs there, which KVM writes itself: it does not count. */
  wall_clock_page: z.number().int().nonnegative().optional(),
  /** The first ones. Bytes: hexadecimal. */
  differing: z.array(
    z.object({
      page: z.number(),
      first_byte: z.number(),
      last_byte: z.number(),
      source: z.string(),
      destination: z.string(),
    }),
  ),
});

type RamComparison = z.infer<typeof resultSchema>;

/** What was compared and what of it differs, for people. */
export function saidOf({
  pages_compared,
  pages_differing,
  wall_clock_page,
  differing,
}: RamComparison): string {
  const where = differing.map(
    ({ page, first_byte, last_byte, source, destination }) =>
      `page ${page}, bytes ${first_byte} to ${last_byte}: ${source} at the source, ${destination} at the destination`,
  );
  const clock =
    wall_clock_page === undefined
      ? ''
      : `; KVM has written the guest’s wall clock anew in page ${wall_clock_page}, which does not count`;
  return [`${pages_compared} pages compared, ${pages_differing} differ${clock}`, ...where].join('\n');
}

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
