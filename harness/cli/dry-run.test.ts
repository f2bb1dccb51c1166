/** Plans are printed without root and without a lab. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';

const run = (command: 'experiment' | 'matrix', ...arguments_: string[]) =>
  execa(process.execPath, [path.join(import.meta.dirname, `${command}.ts`), ...arguments_, '--dry-run'], {
    reject: false,
  });

test("the paper's matrix is planned on any machine", async (t) => {
  const { exitCode, stdout, stderr } = await run('matrix', '--profile', 'paper');
  t.is(exitCode, 0, stderr);
  t.regex(stdout, /^24 runs:/);
  t.regex(
    stdout,
    /^4 GiB: VM 4096 MiB, pool 3272 MiB, links 1000 Mbit\/s, 8 threads at full speed, 300 s of load before and 600 s after$/m,
  );
  // 300 s before and 600 s after, and what is between and around.
  const minutes = Number(/^ {2}rw-24-restore-r1 .*KVM: ([\d.]+)\)$/m.exec(stdout)?.[1]);
  t.true(minutes > 15 + 3 && minutes < 30, `${minutes} min`);
  t.regex(stdout, /expected: \d+ min under TCG, \d+ min with KVM$/);
});

test('a plan is JSON lines where these are asked for, of either command', async (t) => {
  const cells = ['--scenarios', 'rw', '--mems', '4', '--engines', 'precopy', 'restore'];
  const { stdout } = await run('matrix', ...cells, '--json');
  const planned = stdout.split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
  t.deepEqual(
    planned.map(({ name }) => name),
    ['rw-4-precopy-r1', 'rw-4-restore-r1'],
  );
  t.like(planned[1], { event: 'planned', repeat: 1, configuration: { scenario: 'rw', engine: 'restore' } });
  t.true(planned.every(({ expectedSeconds }) => (expectedSeconds as { tcg: number }).tcg > 60));
  const one = await run('experiment', '--json');
  t.like(JSON.parse(one.stdout), { scenario: 'rw', engine: 'precopy' });
  t.is(one.stdout.split('\n').length, 1);
});

test('a plan that is not written, as to a full disk, is a failure', async (t) => {
  const command = [process.execPath, path.join(import.meta.dirname, 'matrix.ts'), '--dry-run'];
  const { exitCode, stderr } = await execa('bash', ['-c', '"$@" > /dev/full', 'bash', ...command], {
    reject: false,
  });
  t.is(exitCode, 1);
  t.regex(stderr, /^matrix: standard output is not written: ENOSPC: /m);
});

test('what this machine cannot run is said, and planned anyway', async (t) => {
  // Twice 1 TiB is more than any machine that runs tests.
  const { exitCode, stdout, stderr } = await run(
    'experiment',
    '--profile',
    'paper',
    '--vm-memory',
    '1048576',
  );
  t.is(exitCode, 0);
  t.regex(stdout, /VM 1048576 MiB.*links 1000 Mbit\/s/);
  t.regex(stdout, /load before the migration +300 s +300 s/);
  t.regex(stdout, /load after the migration +600 s +600 s/);
  t.regex(stderr, /this machine cannot run this: not enough memory/);
});

test('the same is refused when it is to run', async (t) => {
  const { exitCode, stderr } = await execa(
    process.execPath,
    [path.join(import.meta.dirname, 'matrix.ts'), '--vm-memory', '1048576'],
    { reject: false },
  );
  t.is(exitCode, 2);
  t.regex(stderr, /not enough memory/);
});

test('a shard plans its own runs; a wrong one is refused', async (t) => {
  const small = ['--scenarios', 'rw', '--mems', '4', '--engines', 'precopy', 'restore', '--repeat', '2'];
  const second = await run('matrix', ...small, '--shard', '2/2', '--pair', 'rack-a');
  t.is(second.exitCode, 0, second.stderr);
  t.deepEqual(second.stdout.match(/rw-4-\S+/g), ['rw-4-precopy-r2', 'rw-4-restore-r2']);
  for (const [arguments_, said] of [
    [['--shard', '0/5'], /--shard "0\/5": a part and the number of parts/],
    [['--shard', '6/5'], /--shard "6\/5"/],
    [['--shard', 'a/b'], /--shard "a\/b"/],
    [['--shard', '3/3'], /there is nothing for shard 3\/3/],
    [['--pair', 'a b'], /--pair "a b": letters/],
    [['--resume'], /--resume goes on with a set: name its folder with --out/],
    [['--repeat', 'many'], /--repeat "many": a whole number from 1 to 100 is needed/],
  ] as const) {
    const { exitCode, stderr } = await run('matrix', ...small, ...arguments_);
    t.is(exitCode, 2, stderr);
    t.regex(stderr, said);
  }
});

test('a wrong inventory is refused with its place, by both commands', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'poolshift-inventory-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'hosts.yaml');
  await writeFile(file, 'nfs: { export: /srv/export }\nhosts: { src: {} }\n');
  for (const command of ['experiment', 'matrix'] as const) {
    const { exitCode, stderr } = await run(command, '--testbed', 'inventory', '--inventory', file);
    t.is(exitCode, 2);
    t.true(stderr.includes(`${file}:2: hosts.src.ssh: a mapping is needed\n`), stderr);
  }
});

test("Vagrant's machines are planned for without them, and take no inventory", async (t) => {
  const planned = await run('experiment', '--testbed', 'vagrant', '--scenario', 'ro');
  t.is(planned.exitCode, 0, planned.stderr);
  t.regex(planned.stdout, /^scenario ro/);
  const both = await run('matrix', '--testbed', 'vagrant', '--inventory', 'hosts.yaml');
  t.is(both.exitCode, 2);
  t.regex(both.stderr, /--inventory does not go with --testbed vagrant/);
});
