/**
 * Whole runs with a small VM in the local lab: a migration that completes, one on an inventory's machines that is checked
 * byte by byte, a restart instead of one, one that fails, one that is interrupted. Each has a lab of its own. About five
 * minutes on two cores under TCG.
 */
import { readFile, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { parse } from 'csv-parse/sync';
import { execa } from 'execa';
import { hostNames } from '../../record/event.ts';
import { addSudoUser, labInventory, rename } from '../testbed/local/lab-inventory.fixture.ts';
import { clearLeftovers, waitForRoom } from '../testbed/local/lab-process.ts';
import { attachLocalTestbed, startLocalTestbed } from '../testbed/local/start.ts';
import { readRun, readSamples } from '../../record/read-run.ts';
import { runColumns } from '../../record/run-columns.ts';
import { machineState } from './machine-state.ts';
import { folder, run, small } from './small-run.fixture.ts';

const projectRoot = path.resolve(import.meta.dirname, '../..');

/** Leaves the stream open: a program whose output nobody takes fails of that. */
async function untilPrinted(stream: NodeJS.ReadableStream, text: string): Promise<void> {
  let seen = '';
  await new Promise<void>((resolve, reject) => {
    stream.on('data', (chunk: Buffer) => {
      seen += chunk.toString();
      if (seen.includes(text)) resolve();
    });
    stream.on('end', () => {
      reject(new Error(`ended before it printed "${text}":\n${seen}`));
    });
  });
}

/** `npm run experiment` with a small VM. */
const experiment = (...arguments_: string[]) =>
  execa(
    'node',
    [
      ...['scripts/start.mjs', 'harness/cli/experiment.ts'],
      ...['--vm-memory', String(small.vmMemory), '--table-data', String(small.tableData), ...arguments_],
    ],
    { cwd: projectRoot, reject: false },
  );

// What an earlier, killed run has left is not this test's affair; a lab that somebody uses is not to be taken down.
test.before(async (t) => {
  await waitForRoom((line) => {
    t.log(line);
  });
  await clearLeftovers();
});

test.serial('a stock migration under load is recorded and checked, and nothing is left', async (t) => {
  const before = await machineState();
  const {
    outcome,
    row,
    folder: made,
  } = await run(t, { scenario: 'rw', engine: 'precopy', linkRate: '250mbit', warmStart: true, before: 12 });
  t.deepEqual(await machineState(), before);
  t.is(outcome, 'completed');
  t.true(row?.converged);
  t.is(row?.ledger_lost, 0);
  t.true(Number(row?.ledger_acknowledged) > 20);
  t.true(row?.tables_ok);
  t.true(Number(row?.total_time_ms) > 1000);
  t.true(Number(row?.downtime_client_ms) + 2 >= Number(row?.downtime_stop_resume_ms));
  t.true(Number(row?.migration_link_bytes) > 50e6);
  t.true(Number(row?.tps_before) > 0);

  t.deepEqual((await readdir(made)).sort(), [
    'events.jsonl',
    'logs',
    'manifest.json',
    'runs.csv',
    'samples.parquet',
  ]);
  const [record] = parse<Record<string, string>>(await readFile(path.join(made, 'runs.csv')), {
    columns: true,
  });
  t.deepEqual(Object.keys(record ?? {}), Object.keys(runColumns));
  const samples = (await readSamples(made)) ?? [];
  for (const metric of [
    'ram_remaining_bytes',
    'ram_transferred_bytes',
    'dirty_pages_per_second',
    'tps',
    'latency_p95_ms',
    'client_gap_ms',
  ])
    t.true(
      samples.some((sample) => sample.metric === metric),
      metric,
    );
  for (const host of ['src', 'dst', 'nfs', 'client'])
    for (const network of ['migration', 'storage', 'service'])
      t.true(
        samples.some((sample) => sample.host === host && sample.metric === `nic_in_bytes:${network}`),
        `${host} ${network}`,
      );
});

test.serial(
  'by command on machines of an inventory, with names and users of their own, restored pages leave both VMs with the same RAM',
  async (t) => {
    t.timeout(20 * 60_000);
    const lab = await startLocalTestbed({
      rates: { migration: 125e6, storage: 125e6, service: 125e6 },
      keep: () => false,
      owner: 'experiment.lab.test.ts',
      log: (line) => {
        t.log(line);
      },
    });
    t.teardown(() => lab.close());
    for (const [index, name] of hostNames.entries()) {
      await addSudoUser(lab.hosts[name]);
      await rename(lab.hosts[name], `rack7-${index}`);
    }
    const made = await folder(t);
    const inventory = path.join(made, 'hosts.yaml');
    await writeFile(inventory, await labInventory({ users: hostNames }));
    const { exitCode, stderr } = await experiment(
      ...['--testbed', 'inventory', '--inventory', inventory, '--scenario', 'rw', '--engine', 'restore'],
      ...['--verify-ram', '--before', '4', '--after', '4'],
      ...['--max-time', '120', '--out', made],
    );
    t.is(exitCode, 0, stderr);
    const [runName = ''] = (await readdir(made)).filter((entry) => entry !== 'hosts.yaml');
    const run = path.join(made, runName);
    const [row] = parse<Record<string, string>>(await readFile(path.join(run, 'runs.csv')), {
      columns: true,
    });
    t.is(row?.['ram_pages_differing'], '0');
    t.is(row?.['ram_pages_compared'], String((small.vmMemory * 2 ** 20) / 4096));
    t.true(Number(row?.['pages_listed']) > 5000);
    t.true(Number(row?.['pages_restored']) > 5000);
    t.is(row?.['testbed'], 'inventory');
    t.is(row?.['outcome'], 'completed');
    // What is kept of it holds no secret.
    for (const entry of await readdir(run, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const text = await readFile(path.join(entry.parentPath, entry.name), 'utf8');
      t.notRegex(text, /PRIVATE KEY|MYSQL_PWD=[^…]|password=[^…\s]/i, entry.name);
    }
    // The machines go on without us: nothing runs, and the service interface has its address again.
    for (const host of [lab.hosts.src, lab.hosts.dst]) {
      const { stdout } = await host.run('ip -brief address; ls -A /run/poolshift/spawned');
      t.regex(stdout, new RegExp(`^svc@\\S+ +UP +${lab.networks.service.addresses[host.name]}/24`, 'm'));
      t.notRegex(stdout, /psbr0|pstap0/);
      t.is((await host.run('pgrep -c "qemu|node"', { okExitCodes: [0, 1] })).stdout, '0\n');
    }
  },
);

test.serial(
  'a restart ends the server in good order, starts it at the destination, and loses no commit',
  async (t) => {
    const before = await machineState();
    const {
      outcome,
      row,
      folder: made,
    } = await run(t, { scenario: 'rw', engine: 'restart', warmStart: true, after: 10 });
    t.deepEqual(await machineState(), before);
    t.is(outcome, 'completed');
    t.is(row?.ledger_lost, 0);
    t.true(Number(row?.ledger_acknowledged) > 20);
    t.true(row?.tables_ok);

    const console = (host: string): Promise<string> =>
      readFile(path.join(made, 'logs', `console-${host}.log`), 'utf8');
    const [onSource, onTarget] = await Promise.all([console('src'), console('dst')]);
    t.regex(onSource, /^POOLSHIFT \S+ server-exited 0$/m);
    t.notRegex(onTarget, /server-exited|crash recovery/);
    const [, writtenLast] = /Shutdown completed; log sequence number (\d+)/.exec(onSource) ?? [];
    const [, foundFirst] = /End of log at LSN=(\d+)/.exec(onTarget) ?? [];
    t.regex(writtenLast ?? '', /^\d+$/);
    t.is(foundFirst, writtenLast, 'the server goes on where the other one ended');

    const { events } = await readRun(made);
    t.deepEqual(
      events.filter((event) => event.event === 'restart').map(({ phase }) => phase),
      ['vm-stopped', 'vm-started', 'server-answers', 'pool-loaded'],
    );
    for (const column of [
      'downtime_client_ms',
      'downtime_heartbeat_ms',
      'tps_before',
      'tps_after',
      'qemu_cpu_ms_src',
      'qemu_cpu_ms_dst',
    ] as const)
      t.true(Number(row?.[column]) > 0, column);
    t.true(Number(row?.downtime_client_ms) <= Number(row?.downtime_stop_resume_ms));
    t.true(Number(row?.downtime_stop_resume_ms) < Number(row?.total_time_ms));
    // The pool is read again over the storage link, and nothing goes over the other one.
    t.true(Number(row?.storage_link_bytes_dst) > 0.8 * small.tableData * 2 ** 20);
    t.true(Number(row?.migration_link_bytes) < 1e6);
    for (const column of [
      'downtime_qemu_ms',
      'dirty_sync_count',
      'qemu_transferred_bytes',
      'pages_listed',
    ] as const)
      t.is(row?.[column], undefined, column);
  },
);

test.serial('TPC-C goes on over a migration, and its consistency conditions hold', async (t) => {
  const { outcome, folder: made } = await run(t, {
    scenario: 'tpcc',
    engine: 'restore',
    warehouses: 1,
    rate: 2,
    linkRate: '250mbit',
    warmStart: true,
  });
  t.is(outcome, 'completed');
  const { events } = await readRun(made);
  t.like(
    events.find((event) => event.event === 'check' && event.name === 'tpcc'),
    { ok: true },
  );
  t.true(
    events.some((event) => event.event === 'workload-ended' && Number(event.figures['transactions']) > 0),
  );
});

test.serial('a step that fails names itself, and everything is taken down', async (t) => {
  const before = await machineState();
  const {
    outcome,
    reason,
    folder: made,
  } = await run(
    t,
    { scenario: 'idle' },
    {
      at: {
        // The source VM is up.
        step: 'warm the pool',
        act: async () => {
          const testbed = await attachLocalTestbed();
          await testbed.hosts.src.run('systemctl kill --signal=KILL poolshift-vm');
        },
      },
    },
  );
  t.is(outcome, 'failed');
  t.regex(reason ?? '', /^warm the pool: the VM on src is gone: its QEMU ended without a word/);
  // Its evidence is kept.
  t.regex(await readFile(path.join(made, 'logs', 'console-src.log'), 'utf8'), /POOLSHIFT \S+ server-up/);
  t.true((await readdir(path.join(made, 'logs'))).includes('qemu-src.log'));
  t.deepEqual(await machineState(), before);
});

test.serial('Ctrl-C in mid-migration takes everything down, with the status of an interrupt', async (t) => {
  t.timeout(10 * 60_000);
  const before = await machineState();
  const out = await folder(t);
  const arguments_ = [
    '--vm-memory',
    '384',
    '--table-data',
    '60',
    '--warm-start',
    '--before',
    '4',
    '--scenario',
    'ro',
    '--out',
    out,
  ];
  const child = execa('node', ['scripts/start.mjs', 'harness/cli/experiment.ts', ...arguments_], {
    cwd: projectRoot,
    reject: false,
    buffer: { stdout: true, stderr: false },
  });
  await untilPrinted(child.stderr, 'migration: active');
  await sleep(1500);
  child.kill('SIGINT');
  const { exitCode, stdout } = await child;
  t.is(exitCode, 130);
  t.regex(stdout, /aborted: migrate: interrupted by SIGINT/);
  t.deepEqual(await machineState(), before);
  const [made = ''] = await readdir(out);
  const samples = (await readSamples(path.join(out, made))) ?? [];
  t.true(samples.some(({ metric }) => metric === 'ram_remaining_bytes'));
});

test.serial('kill -9 of the harness leaves nothing that runs, and the next start cleans up', async (t) => {
  t.timeout(10 * 60_000);
  const before = await machineState();
  const out = await folder(t);
  const arguments_ = ['--vm-memory', '384', '--table-data', '60', '--scenario', 'idle', '--out', out];
  const node = path.join(projectRoot, 'node_modules', `node-linux-${process.arch}`, 'bin/node');
  const child = execa(node, ['harness/cli/experiment.ts', ...arguments_], {
    cwd: projectRoot,
    reject: false,
    buffer: { stdout: true, stderr: false },
  });
  await untilPrinted(child.stderr, 'measure the links: done');
  child.kill('SIGKILL');
  await child;
  for (let attempt = 0; attempt < 100 && (await machineState()).labProcesses.length > 0; attempt += 1)
    await sleep(100);
  const { labFolders: _, ...after } = await machineState();
  const { labFolders: __, ...wanted } = before;
  t.deepEqual(after, wanted);
  await execa(node, ['harness/cli/lab.ts', 'down'], { cwd: projectRoot });
  t.deepEqual(await machineState(), before);
});
