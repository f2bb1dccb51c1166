/**
 * Loaded by ava into the process of each test file when `npm test` runs it: writes down what ava says of its tests, so that
 * those which had not ended are known when something hangs or crashes, and what the file took.
 */
import { appendFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';

/** A line of the file that `POOLSHIFT_TEST_PROGRESS` names. */
export type TestProgress = { readonly file: string } & (
  | { readonly event: 'file-began'; readonly processId: number }
  /** In the order in which tests run. */
  | { readonly event: 'test-selected' | 'test-ended'; readonly title: string }
  /** CPU time is that of the test's process, without those that it has started. */
  | { readonly event: 'file-ended'; readonly seconds: number; readonly cpuSeconds: number }
);

/** What ava's worker sends to ava (`lib/runner.js`), as far as it is looked at here. */
interface AvaMessage {
  readonly ava?: {
    readonly type: string;
    readonly title?: string;
    readonly skip?: boolean;
    readonly todo?: boolean;
  };
}

const progress = process.env['POOLSHIFT_TEST_PROGRESS'];
const send = process.send?.bind(process);
if (progress !== undefined && send !== undefined) {
  const file = path.relative(process.cwd(), fileURLToPath(test.meta.file));
  const write = (line: TestProgress): void => {
    // One short append, so that files which run side by side do not mix.
    appendFileSync(progress, `${JSON.stringify(line)}\n`);
  };
  write({ file, event: 'file-began', processId: process.pid });
  // Hooks declared here would make ava start before it has read a test file that awaits something.
  process.send = (message: AvaMessage, ...rest: unknown[]): boolean => {
    const { type, title, skip, todo } = message.ava ?? {};
    if (title !== undefined) {
      if (type === 'selected-test' && skip !== true && todo !== true)
        write({ file, event: 'test-selected', title });
      if (type === 'test-passed' || type === 'test-failed') write({ file, event: 'test-ended', title });
    }
    return (send as (message: unknown, ...rest: unknown[]) => boolean)(message, ...rest);
  };
  process.once('exit', () => {
    const { user, system } = process.cpuUsage();
    write({ file, event: 'file-ended', seconds: process.uptime(), cpuSeconds: (user + system) / 1e6 });
  });
}
