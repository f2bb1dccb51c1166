/**
 * Machines of an inventory are one user's at a time. A small process on each holds a lock (flock), so the kernel drops it
 * with that process, and the process ends with ours: when it ends or is killed, when the connection is lost, or when
 * nothing has been heard of us for a minute.
 */
import { randomUUID } from 'node:crypto';
import { hostname, userInfo } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { CodedError } from '../../../foundation/coded-error.ts';
import type { Log } from '../../../scripts/cache.ts';
import { type Host, type HostName, type HostProcess, hostNames } from '../host.ts';
import { labWaitMs } from '../lab-wait.ts';
import { quote } from '../../../foundation/shell.ts';
import { openConnections } from './connections.ts';
import type { Inventory } from './schema.ts';

/** On the host. Its content says who has the lock, and means nothing while nobody has it. */
export const lockFile = '/run/lock/poolshift-host.lock';

const holderSchema = z.object({
  /** One for each process of ours, which may take a machine twice: as two roles, or for a matrix and for its run. */
  id: z.string(),
  user: z.string(),
  pid: z.number().int(),
  /** What the user ran. */
  owner: z.string(),
  since: z.iso.datetime(),
});

type Holder = z.infer<typeof holderSchema>;

const ownId = randomUUID();
const signOfLifeMs = 15_000;
const silenceSeconds = 60;

export interface Hold {
  /** Idempotent. */
  release(): Promise<void>;
}

/** A host that somebody else has; undefined where the lock's file does not say who. */
export interface HostInUse {
  readonly host: HostName;
  readonly holder: Holder | undefined;
}

/** For a message. */
export function describeHolder({ host, holder }: HostInUse): string {
  return holder === undefined
    ? `${host} is in use by another process of Poolshift`
    : `${host} is in use since ${holder.since} by ${holder.user}, process ${holder.pid} (${holder.owner})`;
}

interface HoldOptions {
  readonly hosts: Readonly<Partial<Record<HostName, Host>>>;
  /** What the user ran, for the message that others get. */
  readonly owner: string;
  readonly log: Log;
}

/**
 * Takes the lock of every host or of none, waiting for another user's end as long as the environment variable
 * POOLSHIFT_LAB_WAIT says, in minutes (default 0).
 * @throws CodedError 'inventory', 'invalid' that names who has which host since when; CodedError 'host'
 */
export async function holdHosts(options: HoldOptions): Promise<Hold> {
  const deadlineMs = performance.now() + labWaitMs();
  for (let said = ''; ;) {
    const attempt = await tryHold(options);
    if ('release' in attempt) return attempt;
    const description = describeHolder(attempt);
    if (performance.now() >= deadlineMs)
      throw new CodedError(
        'inventory',
        'invalid',
        `${description}; wait for its end, or set POOLSHIFT_LAB_WAIT to the minutes to wait for it`,
      );
    if (description !== said) options.log(`${description}; waiting for it to end`);
    said = description;
    await sleep(1000);
  }
}

/**
 * Holds an inventory's machines by connections of its own, for longer than one testbed is up.
 * @throws CodedError 'inventory', 'invalid' that names who has which host since when; CodedError 'host'
 */
export async function holdInventory(
  inventory: Inventory,
  options: Omit<HoldOptions, 'hosts'>,
): Promise<Hold> {
  const connections = await openConnections(inventory);
  const { hosts } = connections;
  try {
    const met = await Promise.allSettled(Object.values(hosts).map((host) => host.run('true')));
    for (const result of met) if (result.status === 'rejected') throw result.reason;
    const hold = await holdHosts({ ...options, hosts });
    return {
      release: async () => {
        await hold.release();
        await connections.disconnect();
      },
    };
  } catch (error) {
    await connections.disconnect();
    throw error;
  }
}

/** @throws CodedError 'inventory', 'invalid', CodedError 'host' */
export async function tryHold({ hosts, owner, log }: HoldOptions): Promise<Hold | HostInUse> {
  const holder: Holder = {
    id: ownId,
    user: `${process.env['SUDO_USER'] ?? userInfo().username}@${hostname()}`,
    pid: process.pid,
    owner,
    since: new Date().toISOString(),
  };
  const taken: Hold[] = [];
  const release = async (): Promise<void> => {
    await Promise.all(taken.splice(0).map((hold) => hold.release()));
  };
  try {
    // One after the other: of two who come at once, the first host decides.
    for (const name of hostNames) {
      const host = hosts[name];
      if (host === undefined) continue;
      const result = await holdHost(host, holder, log);
      if ('release' in result) taken.push(result);
      else if (result.holder?.id !== ownId) {
        await release();
        return result;
      }
    }
    return { release };
  } catch (error) {
    await release();
    throw error;
  }
}

async function holdHost(host: Host, holder: Holder, log: Log): Promise<Hold | HostInUse> {
  const first = await lock(host, holder);
  if ('holder' in first) return first;
  let keeper = first;
  let released = false;
  const timer = setInterval(() => {
    keeper.write('\n');
  }, signOfLifeMs);
  timer.unref();
  /** A connection that is lost takes the lock with it; the host may be back at once. */
  const takeAgain = async (): Promise<void> => {
    const again = await lock(host, holder);
    if ('holder' in again)
      log(`the connection to ${host.name} was lost, and meanwhile ${describeHolder(again)}`);
    else if (released) await again.stop();
    else watch(again);
  };
  const watch = (process: HostProcess): void => {
    keeper = process;
    void process.ended.then(async () => {
      if (released) return;
      await takeAgain().catch((error: unknown) => {
        log(`lost the lock on ${host.name}: ${String(error)}`);
      });
    });
  };
  watch(first);
  return {
    release: async () => {
      released = true;
      clearInterval(timer);
      await keeper.stop();
    },
  };
}

/** The process that has the lock now, or who has it. @throws CodedError 'inventory', 'invalid' where there can be no lock */
async function lock(host: Host, holder: Holder): Promise<HostProcess | HostInUse> {
  const keeper = host.spawn(holdScript(holder, silenceSeconds));
  const first = await keeper.lines[Symbol.asyncIterator]().next();
  if (first.done !== true && first.value === 'taken') return keeper;
  await keeper.stop();
  if (first.done !== true) return { host: host.name, holder: parseHolder(first.value.replace(/^held /, '')) };
  throw new CodedError(
    'inventory',
    'invalid',
    `${host.name} cannot be locked: ${(await keeper.ended).stderrTail}`,
  );
}

/** Says "taken", or "held" and what the lock's file says; ends at the end of its input or after a silence. */
export function holdScript(holder: Holder, silence: number): string {
  return `exec 9>> ${lockFile} || exit 1
if ! flock --nonblock 9; then
  echo "held $(head -n 1 ${lockFile})"
  exit
fi
echo ${quote(JSON.stringify(holder))} > ${lockFile}
echo taken
while read -r -t ${silence} _; do :; done
: > ${lockFile}`;
}

export function parseHolder(text: string): Holder | undefined {
  try {
    return holderSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
