/**
 * Makes a small copy of recorded runs, to be committed as a fixture: metrics that the report uses, thinned, compressed.
 *   node report/testing/make-fixture.ts RUN_FOLDER FIXTURE_FOLDER
 */
import { cp, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { readEvents, readSamples, runFiles } from '../../record/read-run.ts';
import { writeSamplesFile } from '../../record/samples-file.ts';

const kept =
  /^(ram_(remaining|total)_bytes|ram_(zero|normal)_pages|dirty_sync_count|tps|latency_p95_ms|engine_pages_\w+)$/;
const keptCounters: readonly string[] = ['src nic_out_bytes:migration', 'dst nic_in_bytes:storage'];
/** Of the samples of one metric, every so manieth is kept: counters are sampled five times a second. */
const every = 3;

const [from = '', to = ''] = process.argv.slice(2);
await mkdir(to, { recursive: true });
for (const name of [runFiles.manifest, runFiles.row]) await cp(path.join(from, name), path.join(to, name));

const seen = new Map<string, number>();
const thinned = ((await readSamples(from)) ?? []).filter(({ host, metric }) => {
  const name = `${host} ${metric}`;
  if (!kept.test(metric) && !keptCounters.includes(name)) return false;
  const count = seen.get(name) ?? 0;
  seen.set(name, count + 1);
  return count % every === 0 || host === 'client';
});
await writeSamplesFile(path.join(to, runFiles.samples), thinned);

const events = ((await readEvents(from)) ?? []).filter(
  ({ event }) => !/^(output|note|step-\w+|probe-gap)$/.test(event),
);
const text = events.map((event) => `${JSON.stringify(event)}\n`).join('');
await writeFile(path.join(to, `${runFiles.events}.gz`), gzipSync(text, { level: 9 }));
