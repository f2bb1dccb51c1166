/** Workload, checks and SQL probes against a real MariaDB and a real sysbench, where they are installed. About 15 s. */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import anyTest, { type TestFn } from 'ava';
import { CodedError } from '../../foundation/coded-error.ts';
import { bundleProgram } from '../probes/bundle.ts';
import { localShell } from '../probes/local-shell.fixture.ts';
import { startRecorder } from '../probes/recorder-process.ts';
import type { ProbeReport } from '../probes/report.ts';
import { checkLedger } from './ledger-check.ts';
import { startMariadb, type TestServer } from './mariadb.fixture.ts';
import { runSql } from './sql-client.ts';
import { sysbenchCommand, SysbenchOutput } from './sysbench.ts';
import { checkTables } from './table-check.ts';
import { warmUp } from './warm-up.ts';

const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-workload-'));
process.env['POOLSHIFT_CACHE'] = folder;
const started = await startMariadb();
const serial = anyTest.serial as TestFn;
const withServer = started === undefined ? serial.skip : serial;
const withSysbench = started === undefined || !isInstalled('sysbench') ? serial.skip : serial;

anyTest.after.always(async () => {
  await started?.stop();
  await rm(folder, { recursive: true });
});

function isInstalled(program: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function mariadb(): TestServer {
  if (started === undefined) throw new Error('the test should have been skipped');
  return started;
}

withSysbench('sysbench runs as commanded, the pool is warmed, tables are in order', async (t) => {
  const { server } = mariadb();
  const command = sysbenchCommand({
    workload: 'oltp_read_write',
    server,
    tables: 2,
    rowsPerTable: 5000,
    threads: 2,
    rateTps: 20,
    timeSeconds: 3,
    seed: 7,
  });
  const [file, ...args] = command;
  await promisify(execFile)(file, args.with(-1, 'prepare'));

  const list = path.join(mariadb().folder, 'data', 'ib_buffer_pool');
  await rm(list, { force: true });
  const noList = await t.throwsAsync(
    warmUp(localShell, server, () => undefined),
    { instanceOf: CodedError, name: 'RunError', code: 'warm-up-failed' },
  );
  t.regex(noList.message, /Cannot open/);
  // The server's list of what it holds now: the tables have just been made.
  await runSql(localShell, server, 'SET GLOBAL innodb_buffer_pool_dump_now = ON');
  while (!existsSync(list)) await sleep(50);
  const use = await warmUp(localShell, server, () => undefined);
  t.regex(use.loadStatus, /load completed/);
  // 2 tables of 5000 rows of about 190 bytes, and the server's own pages.
  t.true(use.dataBytes > 2e6 && use.dataBytes < 32 * 2 ** 20, `${use.dataBytes} bytes in the pool`);
  t.true(use.totalPages > use.freePages && use.freePages > 0);

  const reports: ProbeReport[] = [];
  const recorder = startRecorder(
    localShell,
    [{ probe: 'lines', name: 'sysbench', command }],
    (report) => reports.push(report),
    await bundleProgram('recorder', () => undefined),
  );
  await sleep(5000);
  await recorder.stop();
  const output = new SysbenchOutput();
  const intervals = reports.flatMap((report) => {
    const interval = report.report === 'line' ? output.push(report.text) : undefined;
    return interval === undefined || report.report !== 'line' ? [] : [{ ...interval, at: report.at }];
  });
  t.is(intervals.length, 3);
  // Line by line and not all at the end, although sysbench writes to a pipe.
  t.true((intervals[2]?.at ?? 0) - (intervals[0]?.at ?? 0) > 1500);
  t.true((output.summary?.transactions ?? 0) > 20);
  t.is(reports.find((report) => report.report === 'exit')?.exitCode, 0);

  const tables = await checkTables(localShell, server);
  t.deepEqual(
    tables.map(({ table, ok }) => [table, ok]),
    [
      ['sbtest.sbtest1', true],
      ['sbtest.sbtest2', true],
    ],
  );
});

withServer(
  'ledger and heartbeat live through a server that stands still, and the check finds a lost row',
  async (t) => {
    const { server, process: child } = mariadb();
    const file = path.join(folder, 'ledger');
    const reports: ProbeReport[] = [];
    const recorder = startRecorder(
      localShell,
      [
        { probe: 'ledger', server, file, ratePerSecond: 50 },
        { probe: 'heartbeat', server },
      ],
      (report) => reports.push(report),
      await bundleProgram('recorder', () => undefined),
    );
    await sleep(1500);
    const stoppedMs = Date.now();
    child.kill('SIGSTOP');
    await sleep(700);
    child.kill('SIGCONT');
    const continuedMs = Date.now();
    await sleep(1000);
    // All connections lost, server still there: both reconnect.
    const others = `SELECT id FROM information_schema.processlist WHERE user = 'sbtest' AND id <> CONNECTION_ID()`;
    const ids = (await runSql(localShell, server, others)).map(([id = '']) => id);
    await runSql(localShell, server, ids.map((id) => `KILL ${id}`).join(';'));
    await sleep(1000);
    await recorder.stop();

    const gap = reports.find((report) => report.report === 'gap' && report.gapMs > 500);
    t.true(
      gap?.report === 'gap' && gap.fromMs < stoppedMs + 20 && gap.toMs > continuedMs - 20,
      JSON.stringify(gap),
    );
    t.true(gap?.report === 'gap' && gap.gapMs < 1200);
    const states = reports
      .filter((report) => report.report === 'connection')
      .map(({ probe, state }) => `${probe} ${state}`);
    for (const state of ['heartbeat lost', 'ledger lost'])
      t.is(states.filter((text) => text === state).length, 1);
    for (const state of ['heartbeat connected', 'ledger connected']) {
      t.is(states.filter((text) => text === state).length, 2);
    }

    const final = reports.findLast((report) => report.report === 'ledger');
    const result = await checkLedger(localShell, server, file);
    t.deepEqual(result, { acknowledged: final?.acknowledged ?? -1, lost: 0, firstLost: undefined });
    t.true(result.acknowledged > 50 && result.acknowledged < 250, `${result.acknowledged} commits in 4.2 s`);
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    t.is(lines.filter((line) => line.endsWith(' unknown')).length, final?.unknown ?? -1);
    t.is(new Set(lines.map((line) => line.split(' ')[0])).size, lines.length, 'no number is used twice');

    await runSql(localShell, server, 'DELETE FROM poolshift.ledger WHERE number = 17');
    t.deepEqual(await checkLedger(localShell, server, file), { ...result, lost: 1, firstLost: 17 });
  },
);

withServer('a second ledger on the same database goes on after the numbers of the first', async (t) => {
  const { server } = mariadb();
  const [[highest = ''] = []] = await runSql(localShell, server, 'SELECT MAX(number) FROM poolshift.ledger');
  const file = path.join(folder, 'second-ledger');
  const bundle = await bundleProgram('recorder', () => undefined);
  const recorder = startRecorder(localShell, [{ probe: 'ledger', server, file }], () => undefined, bundle);
  await sleep(1000);
  await recorder.stop();
  t.is(Number((await readFile(file, 'utf8')).split('\n')[0]), Number(highest) + 1);
  t.is((await checkLedger(localShell, server, file)).lost, 0);
});

withServer('a heartbeat that never reaches a server says why, and ends all the same', async (t) => {
  const reports: ProbeReport[] = [];
  const recorder = startRecorder(
    localShell,
    [{ probe: 'heartbeat', server: { ...mariadb().server, password: 'wrong' } }],
    (report) => reports.push(report),
    await bundleProgram('recorder', () => undefined),
  );
  await sleep(1000);
  await recorder.stop();
  t.is(reports.find((report) => report.report === 'probe-ended')?.answers, 0);
  const connections = reports.filter((report) => report.report === 'connection');
  t.is(connections.length, 1, 'the reason is said once, not at every attempt');
  t.regex(connections[0]?.detail ?? '', /Access denied/);
});
