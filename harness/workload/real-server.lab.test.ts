/** Workload, checks and SQL probes against a real MariaDB and a real sysbench, where they are installed. About 40 s. */
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
import { prepareLoadScript, tpccScript } from './load-script.ts';
import { fullQueueText, sysbenchCommand, type SysbenchOptions, SysbenchOutput } from './sysbench.ts';
import { checkTables } from './table-check.ts';
import { checkTpcc, tpccTables } from './tpcc-check.ts';
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

async function loadCommand(changes: Partial<SysbenchOptions> & Pick<SysbenchOptions, 'timeSeconds'>) {
  return sysbenchCommand({
    script: await prepareLoadScript('oltp_read_write', () => undefined),
    server: mariadb().server,
    data: { kind: 'oltp', tables: 2, rowsPerTable: 5000 },
    threads: 2,
    rateTps: 20,
    seed: 7,
    ...changes,
  });
}

function readSysbench(reports: readonly ProbeReport[]) {
  const output = new SysbenchOutput();
  const said = reports.flatMap((report) => {
    const one = report.report === 'line' ? output.push(report.text) : undefined;
    return one === undefined ? [] : [{ ...one, at: report.at }];
  });
  return {
    seconds: said.filter((one) => one.kind === 'second'),
    connections: said.filter((one) => one.kind === 'connection'),
    totals: output.totals,
  };
}

/** Every connection but our own. */
async function killOthers(): Promise<void> {
  const { server } = mariadb();
  const others = `SELECT id FROM information_schema.processlist WHERE user = 'sbtest' AND id <> CONNECTION_ID()`;
  const ids = (await runSql(localShell, server, others)).map(([id = '']) => id);
  await runSql(localShell, server, ids.map((id) => `KILL ${id}`).join(';'));
}

withSysbench('sysbench runs as commanded, the pool is warmed, tables are in order', async (t) => {
  const { server } = mariadb();
  const command = await loadCommand({ timeSeconds: 3 });
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
  const { seconds, totals } = readSysbench(reports);
  t.is(seconds.length, 3);
  // Line by line and not all at the end, although sysbench writes to a pipe.
  t.true((seconds[2]?.at ?? 0) - (seconds[0]?.at ?? 0) > 1500);
  t.true(totals.transactions > 20);
  for (const { latencies, tps, open } of seconds) {
    // Every transaction is in the second's histogram; one may end between the reading of it and of the counters.
    const inHistogram = latencies.reduce((sum, { transactions }) => sum + transactions, 0);
    t.true(Math.abs(inHistogram - tps) < 2, `${inHistogram} latencies of ${tps} transactions`);
    t.true(open !== undefined && open.offeredTps > 0);
  }
  t.like(
    reports.find((report) => report.report === 'exit'),
    { exitCode: 0, end: 'by-itself' },
  );

  const tables = await checkTables(localShell, server);
  t.deepEqual(
    tables.map(({ table, ok }) => [table, ok]),
    [
      ['sbtest.sbtest1', true],
      ['sbtest.sbtest2', true],
    ],
  );
});

withSysbench('a load whose connections are lost makes them again, and says so', async (t) => {
  const { server } = mariadb();
  const reports: ProbeReport[] = [];
  const command = await loadCommand({ timeSeconds: 600 });
  const recorder = startRecorder(
    localShell,
    [{ probe: 'lines', name: 'sysbench', command, restart: { ...server, ifItSaid: fullQueueText } }],
    (report) => reports.push(report),
    await bundleProgram('recorder', () => undefined),
  );
  const until = async (isSo: () => boolean): Promise<void> => {
    while (!isSo() && !reports.some(({ report }) => report === 'exit')) await sleep(50);
  };
  await until(() => readSysbench(reports).seconds.length >= 1);
  await killOthers();
  await until(
    () => readSysbench(reports).connections.filter(({ state }) => state === 'connected').length >= 2,
  );
  const { length } = readSysbench(reports).seconds;
  await until(() => readSysbench(reports).seconds.length >= length + 2);
  await recorder.stop();

  const { seconds, connections, totals } = readSysbench(reports);
  t.is(connections.filter(({ state }) => state === 'lost').length, 2, 'that of each thread');
  t.is(totals.reconnects, 2);
  t.true((seconds.at(-1)?.tps ?? 0) > 0, 'it goes on');
  t.like(
    reports.find((report) => report.report === 'exit'),
    { end: 'asked' },
  );
});

withSysbench('a load whose queue is full is started again', async (t) => {
  const { server } = mariadb();
  const reports: ProbeReport[] = [];
  const command = await loadCommand({ timeSeconds: 600, rateTps: 100_000, threads: 1 });
  const recorder = startRecorder(
    localShell,
    [{ probe: 'lines', name: 'sysbench', command, restart: { ...server, ifItSaid: fullQueueText } }],
    (report) => reports.push(report),
    await bundleProgram('recorder', () => undefined),
  );
  const exits = () => reports.filter((report) => report.report === 'exit');
  while (exits().length < 2) await sleep(50);
  await recorder.stop();
  t.deepEqual(exits()[0] && { ...exits()[0], at: 0 }, {
    report: 'exit',
    at: 0,
    name: 'sysbench',
    exitCode: 1,
    signal: null,
    end: 'again',
  });
  const waited = readSysbench(reports).seconds.map(({ open }) => open?.queued ?? 0);
  t.true(Math.max(...waited) > 10_000, waited.join(' '));
});

withSysbench(
  'TPC-C keeps its consistency conditions over lost connections, and the check finds what breaks each',
  async (t) => {
    t.timeout(20 * 60_000);
    const { server } = mariadb();
    const data = { kind: 'tpcc', warehouses: 2 } as const;
    const sql = (statement: string) => runSql(localShell, server, statement);
    await sql('CREATE DATABASE tpcc; SET GLOBAL innodb_flush_log_at_trx_commit = 0');
    for (const command of ['prepare', 'fill']) {
      const [file, ...args] = await loadCommand({ script: tpccScript, data, timeSeconds: 0, rateTps: 0 });
      await promisify(execFile)(file, args.with(-1, command));
    }
    t.deepEqual(await checkTpcc(localShell, server), []);

    const reports: ProbeReport[] = [];
    const script = await prepareLoadScript('tpcc', () => undefined);
    const command = await loadCommand({ script, data, timeSeconds: 600, rateTps: 0, threads: 4 });
    const recorder = startRecorder(
      localShell,
      [{ probe: 'lines', name: 'sysbench', command }],
      (report) => reports.push(report),
      await bundleProgram('recorder', () => undefined),
    );
    const ordersFrom = Number((await sql('SELECT COUNT(*) FROM tpcc.orders'))[0]?.[0]);
    for (let kill = 1; kill <= 4; kill += 1) {
      await sleep(1500);
      await killOthers();
    }
    const done = () => readSysbench(reports).totals.transactions;
    while (done() < 200 && !reports.some(({ report }) => report === 'exit')) await sleep(100);
    await recorder.stop();
    t.true(readSysbench(reports).totals.reconnects > 0);
    t.is(reports.find((report) => report.report === 'exit')?.end, 'asked', JSON.stringify(reports.slice(-5)));
    t.deepEqual(await checkTpcc(localShell, server), []);
    const orders = Number((await sql('SELECT COUNT(*) FROM tpcc.orders'))[0]?.[0]) - ordersFrom;
    t.true(orders > 0.3 * done() && orders < 0.6 * done(), `${orders} orders in ${done()} transactions`);
    t.is(
      (await checkTables(localShell, server)).filter(({ table, ok }) => table.startsWith('tpcc.') && ok)
        .length,
      tpccTables,
    );

    for (const [condition, breaks, districts] of [
      [1, 'UPDATE tpcc.district SET d_ytd = d_ytd + 0.01 WHERE d_w_id = 2 AND d_id = 9', '2'],
      [2, 'UPDATE tpcc.district SET d_next_o_id = d_next_o_id + 1 WHERE d_w_id = 1 AND d_id = 3', '1/3'],
      [3, 'DELETE FROM tpcc.new_order WHERE no_w_id = 2 AND no_d_id = 5 AND no_o_id = 2990', '2/5'],
      [
        4,
        'DELETE FROM tpcc.order_line WHERE ol_w_id = 1 AND ol_d_id = 4 AND ol_o_id = 7 AND ol_number = 1',
        '1/4',
      ],
    ] as const) {
      const before = await checkTpcc(localShell, server);
      await sql(breaks);
      t.deepEqual(await checkTpcc(localShell, server), [...before, { condition, districts }]);
    }
    await sql('DROP DATABASE tpcc; SET GLOBAL innodb_flush_log_at_trx_commit = 1');
  },
);

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
    await killOthers();
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

    const answers = reports.flatMap((report) => (report.report === 'answers' ? [report] : []));
    t.true(answers.some(({ clock }) => clock !== undefined));
    // The server has this machine's clock, which it gives in microseconds.
    for (const { clock } of answers)
      if (clock !== undefined)
        t.true(Math.abs(clock.offsetMs) <= clock.uncertaintyMs + 0.01, JSON.stringify(clock));

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
