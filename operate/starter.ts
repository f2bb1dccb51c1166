/** Who has started a migration: so that another command sees whether it is still there. */
import { readFileSync, readlinkSync } from 'node:fs';
import { z } from 'zod';
import { identityOf, isAlive } from '../foundation/process-identity.ts';

export const starterSchema = z.object({
  /** Where the pid means something: a boot of a machine, and a namespace of it. */
  within: z.string(),
  pid: z.number(),
  startTime: z.string(),
});
export type Starter = z.infer<typeof starterSchema>;

const within = (): string =>
  `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${readlinkSync('/proc/self/ns/pid')}`;

/** This process. */
export function thisStarter(): Starter {
  const { pid, startTime } = identityOf(process.pid) ?? { pid: process.pid, startTime: '' };
  return { within: within(), pid, startTime };
}

/** False also where nobody here can tell. */
export const isGone = (starter: Starter): boolean => starter.within === within() && !isAlive(starter);
