/** What the memory of a warmed guest holds: pages of zeros as the host sees them, the page cache as the guest's agent says. */
import { z } from 'zod';
import { requestStatus } from '../../engine/list/agent-client.ts';
import { isCoded } from '../../foundation/coded-error.ts';
import type { HeldMemory } from '../../record/manifest.ts';
import { bundleProgram } from '../probes/bundle.ts';
import type { Testbed } from '../testbed/host.ts';
import { quote } from '../../foundation/shell.ts';
import type { VmPlace } from '../vm/vm-place.ts';
import type { Deploy } from './deploy.ts';

const zeroPagesSchema = z.object({
  pages: z.number().int().positive(),
  zero_pages: z.number().int().nonnegative(),
});
const pageBytes = 4096;

/** A gigabyte takes a second, and on a host without a processor to spare many. */
const countTimeoutMs = 300_000;

/** It has been waited for. */
const firstAnswerTimeoutMs = 30_000;

/** @throws CodedError 'host' */
async function zeroBytesOf(
  { hosts }: Testbed,
  { machine }: VmPlace,
  deploy: Deploy,
  log: (line: string) => void,
): Promise<number> {
  const program = await deploy(await bundleProgram('zero-pages', log), 'src');
  const { stdout } = await hosts.src.run(`node ${program} ${quote(machine.paths.ram)}`, {
    timeoutMs: countTimeoutMs,
  });
  return zeroPagesSchema.parse(JSON.parse(stdout)).zero_pages * pageBytes;
}

interface HeldMemoryOptions {
  readonly testbed: Testbed;
  readonly vm: VmPlace;
  readonly deploy: Deploy;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

/**
 * The agent is asked: the ssh server of a guest that was kept knows the keys of the lab that made it, and a lab has its own.
 * Undefined, with the reason in the log, where none answers: no run needs to know.
 * @throws the signal's reason when it aborts
 */
export async function readHeldMemory({
  testbed,
  vm,
  deploy,
  log,
  signal,
}: HeldMemoryOptions): Promise<HeldMemory | undefined> {
  try {
    const socket = await testbed.hosts.src.forwardSocket(vm.machine.paths.agentSocket);
    const { pageCacheBytes } = await requestStatus(socket, { firstAnswerTimeoutMs, signal });
    return { zeroBytes: await zeroBytesOf(testbed, vm, deploy, log), pageCacheBytes };
  } catch (error) {
    signal.throwIfAborted();
    if (!isCoded(error, 'host') && !isCoded(error, 'agent')) throw error;
    log(`what memory holds is not known: ${error.message}`);
    return undefined;
  }
}
