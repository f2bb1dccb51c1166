/**
 * Makes a small copy of recorded runs, to be committed as a fixture: metrics that the report uses, thinned, compressed.
 *   node report/testing/make-fixture.ts RUN_FOLDER FIXTURE_FOLDER
 */
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';

const kept =
  /,(ram_(remaining|total)_bytes|ram_(zero|normal)_pages|dirty_sync_count|tps|latency_p95_ms|engine_pages_\w+),/;
const keptCounters = /,(src,nic_out_bytes:migration|dst,nic_in_bytes:storage),/;
/** Of the samples of one metric, every so manieth is kept: counters are sampled five times a second. */
const every = 3;

const [from = '', to = ''] = process.argv.slice(2);
await mkdir(to, { recursive: true });
for (const name of ['manifest.json', 'runs.csv']) await cp(path.join(from, name), path.join(to, name));

const [head = '', ...rows] = (await readFile(path.join(from, 'samples.csv'), 'utf8')).split('\n');
const seen = new Map<string, number>();
const thinned = rows.filter((row) => {
  if (!kept.test(row) && !keptCounters.test(row)) return false;
  const metric = row.split(',').slice(2, 4).join(' ');
  const count = seen.get(metric) ?? 0;
  seen.set(metric, count + 1);
  return count % every === 0 || metric.startsWith('client ');
});
await writeFile(
  path.join(to, 'samples.csv.gz'),
  gzipSync(`${[head, ...thinned].join('\n')}\n`, { level: 9 }),
);

const events = (await readFile(path.join(from, 'events.jsonl'), 'utf8'))
  .split('\n')
  .filter((line) => !/"event":"(output|note|step-\w+|probe-gap)"/.test(line));
await writeFile(path.join(to, 'events.jsonl.gz'), gzipSync(events.join('\n'), { level: 9 }));
