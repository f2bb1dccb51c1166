/**
 * What the agent reads of a process can hold it for as long as a user of the guest likes: memory of a file that a program of his
 * serves (FUSE), put there between a look at /proc/PID/maps and the read, or a lock on all of a process's memory. No deadline ends
 * such a read, nor can another thread. So a thread ends the whole agent, which is started again, and leaves a note of whose program
 * it was: the next agent lets persons' programs be.
 */
import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { FoundPrograms } from './finders.ts';
import { isPersons } from './processes.ts';

/** In the service's RuntimeDirectory, which is root's: it outlives the agent, and not the guest. */
const notePath = '/run/poolshift-agent/held-by-users';
/** Well above what a list takes, which has a deadline. */
const heldMs = 75_000;

/** How often the agent has begun or ended to look at a program, odd while it does; and whose that is. */
const words = new Int32Array(new SharedArrayBuffer(8));

/** A text, as the agent is one file; it waits without taking processor time. */
const watch = `
  const { workerData: { words, path, heldMs } } = require('node:worker_threads');
  // A guest that was stopped finds its clock ahead: that is one of these pieces.
  const pieces = 5;
  for (let last = 0, over = 0; ; ) {
    const turn = Atomics.load(words, 0);
    if (turn !== last) over = 0;
    last = turn;
    const limitMs = turn % 2 === 0 ? Infinity : heldMs / pieces;
    if (Atomics.wait(words, 0, turn, limitMs) !== 'timed-out' || ++over < pieces) continue;
    try {
      require('node:fs').writeFileSync(path, Atomics.load(words, 1) + '\\n', { flag: 'a' });
    } catch {}
    process.kill(process.pid, 'SIGKILL');
  }
`;

let arm: (() => void) | undefined;

/**
 * From here on an agent that is held is ended. The thread, which takes some 17 MB, is started for the first program of a person:
 * who is a user of the system's own has other ways.
 */
export function endWhenHeld(path = notePath, limitMs = heldMs): void {
  arm = () => {
    arm = undefined;
    const workerData = { words, path, heldMs: limitMs };
    // Without this process's options, which may say another kind of program.
    new Worker(watch, { eval: true, workerData, execArgv: [] }).unref();
  };
}

/** Does what looks at a program of this user. */
export async function watched<Result>(
  userId: number | undefined,
  look: () => Promise<Result>,
): Promise<Result> {
  if (userId === undefined || !isPersons(userId)) return look();
  arm?.();
  Atomics.store(words, 1, userId);
  turn();
  try {
    return await look();
  } finally {
    turn();
  }
}

function turn(): void {
  Atomics.add(words, 0, 1);
  Atomics.notify(words, 0);
}

/** Without the programs of persons where one of them held an agent: each can have thousands of users. */
export function withoutHolders({ programs, failures }: FoundPrograms, path = notePath): FoundPrograms {
  if (!existsSync(path)) return { programs, failures };
  const isHolders = ({ userId }: { readonly userId?: number }): boolean =>
    userId !== undefined && isPersons(userId);
  const message = 'is not looked at: a person’s program held the agent up (until the service is stopped)';
  const left = programs.filter(isHolders).map(({ description }) => description);
  return {
    programs: programs.filter((program) => !isHolders(program)),
    failures: [...failures, ...left.map((program) => ({ program, code: 'too-slow', message }))],
  };
}
