import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { NewRunEvent } from '../../record/event.ts';
import { RunLog } from '../../record/run-log.ts';
import { Checks } from './checks.ts';

interface Checked {
  readonly log: RunLog;
  readonly checks: Checks;
  readonly events: NewRunEvent[];
}

async function started(t: ExecutionContext): Promise<Checked> {
  const folder = await mkdtemp(path.join(tmpdir(), 'poolshift-checks-'));
  const log = await RunLog.create(path.join(folder, 'run'));
  t.teardown(async () => {
    await log.close();
    await rm(folder, { recursive: true });
  });
  const events: NewRunEvent[] = [];
  log.onEvent((event) => events.push(event));
  return { log, checks: new Checks(log), events };
}

test('a load that is there until the end is what the check wants', async (t) => {
  const { checks, events } = await started(t);
  checks.loadRan();
  t.deepEqual(checks.failed, []);
  t.like(events.at(-1), { event: 'check', name: 'load', ok: true });
});

test('a load that ended by itself fails the run, with its last words', async (t) => {
  const { log, checks, events } = await started(t);
  const when = { at_ms: Date.now() - 20_000, host: 'client' as const };
  for (const text of [
    'FATAL: The event queue is full. This means the worker threads are unable to keep up',
    'x',
  ])
    log.event({ event: 'output', ...when, name: 'sysbench', stream: 'stderr', text });
  log.event({ event: 'workload-ended', ...when, exit_code: 1, signal: null, figures: {} });
  checks.loadRan();
  t.deepEqual(checks.failed, ['load']);
  const check = events.at(-1);
  if (check?.event !== 'check') throw new Error('no check');
  t.regex(
    check.detail ?? '',
    /^sysbench ended by itself 2\d\.\d s .*\(exit code 1, FATAL: The event queue is full/,
  );
  t.true((check.figures?.['missing_ms'] ?? 0) >= 20_000);
});
