import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { writeManifest } from '../../record/manifest.ts';
import { manifest } from '../../record/record.fixture.ts';
import { withFigures } from './figures-of-run.ts';

test('a run that completed and has no figures is a run that failed, with the reason', async (t) => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'figures-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const completed = { outcome: 'completed', reason: undefined } as const;
  const ended = '{"event":"run-ended","at_ms":1,"outcome":"completed"}\n';
  await writeManifest(folder, manifest);
  await writeFile(path.join(folder, 'events.jsonl'), ended);
  await writeFile(path.join(folder, 'samples.jsonl'), 'no sample\n');
  const lost = await withFigures(completed, [folder]);
  t.is(lost.outcome, 'failed');
  t.regex(
    lost.reason ?? '',
    /^its figures could not be made: .*samples\.jsonl, line 1 is not one of ours: .* not valid JSON$/,
  );
  t.is(lost.vms[0]?.row, undefined);

  const aborted = { outcome: 'aborted', reason: 'interrupted by SIGINT' } as const;
  t.like(await withFigures(aborted, [folder]), aborted);

  await writeFile(path.join(folder, 'samples.jsonl'), '');
  const whole = await withFigures(completed, [folder]);
  t.like(whole, completed);
  t.is(whole.vms[0]?.row?.outcome, 'completed');
});
