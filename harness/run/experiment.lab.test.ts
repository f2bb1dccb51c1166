/**
 * Whole runs with a small VM, each with a lab of its own, which leaves nothing: a migration that completes, one on an inventory's
 * machines that is checked byte by byte, one that is interrupted, one that is killed. About three minutes on two cores under TCG.
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
import { startLocalTestbed } from '../testbed/local/start.ts';
import { readSamples } from '../../record/read-run.ts';
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
  await untilPrinted(child.stderr, 'prepare the hosts: done');
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
