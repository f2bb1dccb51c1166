import { mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { parse } from 'csv-parse/sync';
import { sampleColumns } from './csv.ts';
import { derive, deriveSamplesTable } from './derive/derive.ts';
import { writeManifest } from './manifest.ts';
import { readRun } from './read-run.ts';
import { command, manifest, qmp } from './record.fixture.ts';
import { RunLog } from './run-log.ts';
import { runColumns } from './run-columns.ts';

async function temporaryFolder(t: { teardown: (undo: () => Promise<void>) => void }): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-record-'));
  t.teardown(() => rm(folder, { recursive: true }));
  return path.join(folder, 'run');
}

/** A small run; the target's clock is 40 ms ahead. */
async function recordRun(folder: string): Promise<void> {
  const log = await RunLog.create(folder);
  await writeManifest(folder, manifest);
  log.event({ event: 'run-started', at_ms: 500, run_id: manifest.runId });
  log.event({ event: 'clock-offset', at_ms: 600, host: 'dst', offset_ms: 40, uncertainty_ms: 0.2 });
  log.event(command(1000));
  log.sample({ at_ms: 900, host: 'client', metric: 'tps', value: 8.5 });
  log.sample({ at_ms: 1240, host: 'dst', metric: 'nic_in_bytes:storage', value: 123_456_789_012 });
  log.event(qmp(1500, 'src', 'STOP'));
  log.event(qmp(1640.25, 'dst', 'RESUME'));
  log.event(qmp(1550, 'src', 'MIGRATION', { status: 'completed' }));
  await log.close();
}

const table = async (folder: string, name: string): Promise<Record<string, string>[]> =>
  parse(await readFile(path.join(folder, name)), { columns: true });

test('what is recorded comes back in the tables, on one clock and relative to the command', async (t) => {
  const folder = await temporaryFolder(t);
  await recordRun(folder);
  const row = await derive(folder);
  t.like(row, { total_time_ms: 600.25, downtime_stop_resume_ms: 100.25 });

  const [run, ...others] = await table(folder, 'runs.csv');
  t.deepEqual(others, []);
  t.deepEqual(Object.keys(run ?? {}), Object.keys(runColumns));
  t.is(run?.['total_time_ms'], '600.25');
  t.is(run?.['converged'], 'true');
  t.is(run?.['vm_memory_bytes'], '2147483648');
  t.is(run?.['ledger_lost'], '', 'what was not measured is empty, not 0');

  await deriveSamplesTable(folder);
  t.deepEqual(await table(folder, 'samples.csv'), [
    { run_id: path.basename(folder), t_ms: '-100', host: 'client', metric: 'tps', value: '8.5' },
    {
      run_id: path.basename(folder),
      t_ms: '200',
      host: 'dst',
      metric: 'nic_in_bytes:storage',
      value: '123456789012',
    },
  ]);
});

test('the columns of samples.csv', (t) => {
  t.deepEqual([...sampleColumns], ['run_id', 't_ms', 'host', 'metric', 'value']);
});

test('every column that readers rely on is there', (t) => {
  const needed =
    'run_id started_at testbed dbms scenario mem_gib scale vm_memory_bytes buffer_pool_bytes link_bits_per_second engine repeat ' +
    'total_time_ms downtime_stop_resume_ms downtime_client_ms downtime_heartbeat_ms downtime_qemu_ms dirty_sync_count ' +
    'migration_link_bytes storage_link_bytes_src storage_link_bytes_dst qemu_transferred_bytes tps_before tps_during tps_after ' +
    'tps_recovery_ms converged ledger_acknowledged ledger_lost tables_ok bound_ms efficiency ram_pages_compared ' +
    'ram_pages_differing pages_listed pages_left_out pages_restored pages_mismatched pages_cancelled pages_sent_after_all ' +
    'list_find_ms list_translate_ms list_map_ms list_encode_ms list_send_ms engine_cpu_ms_src engine_cpu_ms_dst';
  const missing = needed.split(' ').filter((column) => !Object.hasOwn(runColumns, column));
  t.deepEqual(missing, []);
});

test('deriving again gives the same tables, also after a crash cut the last lines short', async (t) => {
  const folder = await temporaryFolder(t);
  await recordRun(folder);
  await derive(folder);
  const runs = await readFile(path.join(folder, 'runs.csv'), 'utf8');
  await derive(folder);
  t.is(await readFile(path.join(folder, 'runs.csv'), 'utf8'), runs);

  for (const name of ['events.jsonl', 'samples.jsonl']) {
    const file = path.join(folder, name);
    const whole = await readFile(file);
    const before = (await readRun(folder))[name === 'events.jsonl' ? 'events' : 'samples'].length;
    const lastLine = whole.lastIndexOf('\n', whole.length - 2) + 1;
    for (let length = lastLine; length < whole.length; length += 1) {
      await writeFile(file, whole);
      await truncate(file, length);
      const record = await readRun(folder);
      t.is(record[name === 'events.jsonl' ? 'events' : 'samples'].length, before - 1, `cut at ${length}`);
    }
    await derive(folder);
    await writeFile(file, whole);
  }
});

test('commands that derive a run at once lose none of its samples, and none of them fails', async (t) => {
  for (let delayMs = 0; delayMs < 80; delayMs += 1) {
    const folder = await temporaryFolder(t);
    const log = await RunLog.create(folder);
    await writeManifest(folder, manifest);
    log.event(command(1000));
    for (let at_ms = 0; at_ms < 1000; at_ms += 1)
      log.sample({ at_ms, host: 'client', metric: 'tps', value: at_ms });
    log.event({ event: 'run-ended', at_ms: 2000, outcome: 'completed' });
    await log.close();
    await Promise.all([
      derive(folder),
      sleep(delayMs / 2).then(() => derive(folder)),
      sleep(delayMs).then(() => derive(folder)),
    ]);
    t.is((await readRun(folder)).samples.length, 1000, `${delayMs} ms`);
  }
});

test('a wrong line within a file is an error that names it', async (t) => {
  const folder = await temporaryFolder(t);
  await recordRun(folder);
  await writeFile(
    path.join(folder, 'samples.jsonl'),
    '{"at_ms":1,"host":"src","metric":"tps","value":1}\n{"at_ms"\n',
  );
  const error = await t.throwsAsync(derive(folder), { code: 'not-readable' });
  t.regex(error.message, /samples\.jsonl, line 2/);
});

test('a crash loses at most a second', async (t) => {
  const folder = await temporaryFolder(t);
  const log = await RunLog.create(folder);
  const heard: string[] = [];
  log.onEvent((event) => heard.push(event.event));
  log.event({ event: 'note', at_ms: 1, text: 'first' });
  t.deepEqual(heard, ['note'], 'listeners hear it at once');
  await sleep(900);
  t.regex(
    await readFile(path.join(folder, 'events.jsonl'), 'utf8'),
    /^\{"event":"note","at_ms":1,"text":"first"\}\n$/,
  );
  await log.close();
});

test('the end of a run is on the disk when all of its samples are', async (t) => {
  const folder = await temporaryFolder(t);
  const log = await RunLog.create(folder);
  for (let at_ms = 0; at_ms < 200_000; at_ms += 1)
    log.sample({ at_ms, host: 'src', metric: 'tps', value: 1 });
  log.event({ event: 'run-ended', at_ms: 200_000, outcome: 'completed' });
  await log.close();
  const [events, samples] = await Promise.all(
    ['events.jsonl', 'samples.jsonl'].map((file) => stat(path.join(folder, file))),
  );
  t.true((events?.mtimeMs ?? 0) >= (samples?.mtimeMs ?? Infinity));
});

test('a folder that has a record already is not written over', async (t) => {
  const folder = await temporaryFolder(t);
  await recordRun(folder);
  await t.throwsAsync(RunLog.create(folder), { code: 'not-writable' });
  t.is((await readRun(folder)).events.length, 6);
});
