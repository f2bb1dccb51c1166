/** POOLSHIFT_LAB_WAIT: how long a command waits for machines that somebody else has, in minutes. */
import { CodedError } from '../../foundation/coded-error.ts';

/** Default 0. @throws CodedError 'command', 'usage' */
export function labWaitMs(text = process.env['POOLSHIFT_LAB_WAIT']): number {
  if (text === undefined || text === '') return 0;
  if (!/^\d+(\.\d+)?$/.test(text))
    throw new CodedError(
      'command',
      'usage',
      `POOLSHIFT_LAB_WAIT is "${text}": minutes are needed, such as 30`,
    );
  return Number(text) * 60_000;
}
