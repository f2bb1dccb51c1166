/** --verify-ram: both VMs are paused after the migration, and their RAM must be the same. */
import { z } from 'zod';
import { bundleProgram } from '../probes/bundle.ts';
import type { Testbed } from '../testbed/host.ts';
import { vmPaths } from '../vm/qemu-arguments.ts';
import type { MigrationContext } from './migration/migration.ts';

const port = 4445;

const resultSchema = z.object({
  pages_compared: z.number().int().positive(),
  pages_differing: z.number().int().nonnegative(),
  first_differing: z.array(z.number()),
});

export type RamComparison = z.infer<typeof resultSchema>;

/** The source's RAM crosses the migration network, whose measured use is over by now. @throws HostError */
export async function compareRam(
  testbed: Testbed,
  deploy: MigrationContext['deploy'],
  log: (line: string) => void,
): Promise<RamComparison> {
  const program = await deploy(await bundleProgram('ram-compare', log), 'dst');
  const { src, dst } = testbed.hosts;
  const address = testbed.networks.migration.addresses.src;
  const server = src.spawn(
    `exec socat -u OPEN:${vmPaths.ram},rdonly TCP-LISTEN:${port},bind=${address},reuseaddr`,
  );
  try {
    await src.run(
      `for attempt in $(seq 100); do ss -ltn | grep -q ':${port} ' && exit 0; sleep 0.05; done; exit 1`,
    );
    const { stdout } = await dst.run(`node ${program} ${vmPaths.ram} ${address} ${port}`, {
      timeoutMs: 30 * 60_000,
    });
    return resultSchema.parse(JSON.parse(stdout));
  } finally {
    await server.stop();
  }
}
