/** POOLSHIFT_LAB_WAIT: how long a command waits for machines that somebody else has, in minutes. */
import { CodedError } from '../../foundation/coded-error.ts';

/** Longer than anybody's measurement. */
const queuedMs = 7 * 24 * 3_600_000;
let queued = false;

/** A command of several runs has begun: whoever takes the machines between two of them is waited for. */
export function stayQueued(): void {
  queued = true;
}

/** Default 0. @throws CodedError 'command', 'usage' */
export function labWaitMs(text = process.env['POOLSHIFT_LAB_WAIT']): number {
  if (text === undefined || text === '') return queued ? queuedMs : 0;
  if (!/^\d+(\.\d+)?$/.test(text))
    throw new CodedError(
      'command',
      'usage',
      `POOLSHIFT_LAB_WAIT is "${text}": minutes are needed, such as 30`,
    );
  return Math.max(Number(text) * 60_000, queued ? queuedMs : 0);
}
