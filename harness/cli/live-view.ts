/**
 * The live view of `--live`: a process of its own, so that drawing takes no time from what measures. It reads what the run
 * writes, and ends when this process ends, however it ends: its standard input closes.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { CodedError } from '../../foundation/coded-error.ts';

const program = path.join(import.meta.dirname, '../../report/cli/live.ts');

export interface LiveView {
  /** Shows a run that begins, from now on. */
  readonly show: (folder: string) => void;
  /** Ends it; its port is free when this settles. */
  readonly close: () => Promise<void>;
}

/**
 * @param option `--live` as it was given: true for a free port; undefined, and nothing is started
 * @param name shown as the set's
 * @param set a matrix's folder, which need not be there yet: all runs in it that are done are shown. Undefined: of the runs
 * that `show` is given, those that are done
 * @throws CodedError 'command', 'usage' where the port cannot be had
 */
export async function startLiveView(
  option: number | true | undefined,
  { name, set }: { readonly name: string; readonly set?: string },
  say: (line: string) => void,
): Promise<LiveView> {
  if (option === undefined) return { show: () => undefined, close: () => Promise.resolve() };
  const child = spawn(
    process.execPath,
    [
      program,
      name,
      option === true ? '0' : String(option),
      ...(set === undefined ? [] : [path.resolve(set)]),
    ],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  const complaints: string[] = [];
  child.stderr.setEncoding('utf8').on('data', (text: string) => complaints.push(text));
  // A view that has ended must not end the run.
  child.stdin.on('error', () => undefined);
  const closed = once(child, 'close').then(() => undefined);
  const address = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line').then(([line]) => String(line)),
    closed,
  ]);
  if (address === undefined)
    throw new CodedError('command', 'usage', `--live: ${complaints.join('').trim()}`);
  say(`live view: ${address}`);
  let isAsked = false;
  void closed.then(() => {
    if (!isAsked) say(`the live view has ended: ${complaints.join('').trim()}`);
  });
  return {
    show: (folder) => {
      child.stdin.write(`${path.resolve(folder)}\n`);
    },
    close: async () => {
      isAsked = true;
      // It only reads, and may be drawing.
      child.kill('SIGKILL');
      await closed;
    },
  };
}
