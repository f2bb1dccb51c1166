import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import type { NewRunEvent } from '../../record/event.ts';
import { readEvents } from '../../record/read-run.ts';
import { RunLog } from '../../record/run-log.ts';
import { SharedLog } from './shared-log.ts';

const note = (text: string): NewRunEvent => ({ event: 'note', at_ms: 1, text });

test('what is of the run is in each VM’s record and heard once; what is of a VM is heard with its index', async (t) => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-shared-log-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const folders = ['run', 'run-vm1'].map((name) => path.join(folder, name));
  const logs = await Promise.all(folders.map((name) => RunLog.create(name)));
  const shared = new SharedLog(logs);
  const heard: unknown[] = [];
  shared.onEvent((event, vm) => heard.push(event.event === 'note' ? [event.text, vm] : undefined));
  shared.event(note('all'));
  logs[0]?.event(note('first'));
  logs[1]?.event(note('second'));
  for (const log of logs) await log.close();
  t.deepEqual(heard, [
    ['all', undefined],
    ['first', 0],
    ['second', 1],
  ]);
  const texts = await Promise.all(
    folders.map(async (name) =>
      ((await readEvents(name)) ?? []).map((event) => (event.event === 'note' ? event.text : '')),
    ),
  );
  t.deepEqual(texts, [
    ['all', 'first'],
    ['all', 'second'],
  ]);
});
