/** The end of every command: its exit code, and what an error looks like. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import { watchStandardOutput } from '../../foundation/standard-output.ts';
import { whatIsWrong } from '../../record/what-is-wrong.ts';
import { exitCodes } from './options.ts';

/** A reader that lags gets so long for what it has not read, and then no more of it. */
const lastWordsMs = 30_000;

/** Has something done when the command is over, however it ends. */
export type AtEnd = (action: () => Promise<void>) => void;

/** Runs `main` and ends the process with the exit code that it gives. Whatever a library still holds open does not matter. */
export async function runCommand(name: string, main: (atEnd: AtEnd) => Promise<number>): Promise<never> {
  const endings: (() => Promise<void>)[] = [];
  // A reader that is gone (`| tee` ended by the same Ctrl-C, a terminal that was closed) keeps nothing from being taken down.
  process.stderr.on('error', () => undefined);
  const unwritten = watchStandardOutput();
  try {
    const code = await settled(
      main((action) => endings.push(action)),
      endings,
    );
    const problem = await Promise.race([unwritten(), sleep(lastWordsMs, undefined)]);
    if (problem !== undefined) console.error(`${name}: ${problem}`);
    process.exit(problem !== undefined && code === exitCodes.ok ? exitCodes.failed : code);
  } catch (error) {
    // Nothing has been started: another lab is up, this user may not make one, or the inventory is wrong.
    const refusals = ['command', 'lab', 'inventory', 'vagrant'] as const;
    if (error instanceof CodedError && refusals.some((area) => isCoded(error, area))) {
      console.error(`${name}: ${error.message}`);
      process.exit(exitCodes.usage);
    }
    if (isCoded(error, 'record')) {
      console.error(`${name}: ${whatIsWrong(error)}`);
      // What somebody gave it to read.
      process.exit(error.code === 'not-readable' ? exitCodes.usage : exitCodes.failed);
    }
    console.error(error);
    process.exit(exitCodes.failed);
  }
}

async function settled(code: Promise<number>, endings: readonly (() => Promise<void>)[]): Promise<number> {
  try {
    return await code;
  } finally {
    for (const action of endings) await action();
  }
}
