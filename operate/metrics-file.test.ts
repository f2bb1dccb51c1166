import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { checkMetricsPlace, writeMetrics } from './metrics-file.ts';

test('a place that cannot be written to is refused before anything starts', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'poolshift-metrics-'));
  try {
    const file = path.join(folder, 'poolshift.prom');
    await checkMetricsPlace(file);
    await writeMetrics(file, 'text');
    await checkMetricsPlace(file);
    t.is(await readFile(file, 'utf8'), 'text');
    for (const wrong of [path.join(folder, 'nowhere', 'a.prom'), path.join(file, 'a.prom'), folder])
      await t.throwsAsync(checkMetricsPlace(wrong), { name: 'CommandError', message: /--metrics/ }, wrong);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('text that cannot be put in its place leaves nothing beside it', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'poolshift-metrics-'));
  try {
    const file = path.join(folder, 'poolshift.prom');
    await mkdir(file);
    await t.throwsAsync(writeMetrics(file, 'text'), { code: 'EISDIR' });
    t.deepEqual(await readdir(folder), ['poolshift.prom']);
  } finally {
    await rm(folder, { recursive: true });
  }
});
