/**
 * Runs of one lab, mostly with a guest that was warmed once. Pages restored from storage leave both VMs with the same RAM, byte by
 * byte; rw on MariaDB is checked in experiment.lab.test.ts, on an inventory's machines. A migration that does not converge
 * leaves the VM at the source. About three minutes on two cores under TCG.
 */
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import test from 'ava';
import type { ScenarioName } from '../../experiments/scenarios.ts';
import { hasCompleted, run, RunsLab, small } from './small-run.fixture.ts';

let lab: RunsLab;

test.before(async (t) => {
  lab = await RunsLab.start(t, 'runs-of-one-lab.lab.test.ts');
});
test.after.always(() => lab.close());

const short = { engine: 'restore', verifyRam: true, before: 3, after: 0 };
const settings = {
  /** So slow a link that the list comes long before the first pass ends. */
  mariadb: { warmStart: true, linkRate: '125mbit' },
  /**
   * Its programs need more memory and more time to start, and it dirties more for each transaction: what converges, and leaves
   * the agent the time for its first list. It is booted: in a guest that was kept, that list comes too late.
   */
  mysql: { vmMemory: 512, tableData: 24, rate: 2, before: 10 },
  postgresql: { warmStart: true, vmMemory: 256, tableData: 16, linkRate: '64mbit' },
};

const cells: readonly (readonly [keyof typeof settings, ScenarioName])[] = [
  ['mariadb', 'ro'],
  ['mysql', 'rw'],
  ['postgresql', 'idle'],
];

for (const [dbms, scenario] of cells) {
  test.serial(`${dbms}, ${scenario}: no page differs`, async (t) => {
    const options = { ...small, ...short, ...settings[dbms], dbms, scenario };
    const result = await run(t, options, { lab });
    const { row } = result;
    t.true(hasCompleted(result), result.reason);
    t.is(row?.ram_pages_differing, 0);
    t.is(row?.ram_pages_compared, (options.vmMemory * 2 ** 20) / 4096);
    t.true(Number(row?.pages_restored) > 1000);
  });
}

test.serial('an aged guest has next to nothing free and a full page cache; no page differs', async (t) => {
  const options = { ...short, scenario: 'idle', guest: 'aged', tableData: 16, linkRate: '125mbit' };
  const result = await run(t, { ...options, warmStart: true }, { lab });
  const { row } = result;
  t.true(hasCompleted(result), result.reason);
  t.is(row?.ram_pages_differing, 0);
  t.true(Number(row?.pages_restored) > 1000);
  t.is(row?.guest, 'aged');
  // The kernel's and the server's own, which no guest fills. A fresh one has twice as much.
  t.true(Number(row?.memory_zero_bytes) < 90 * 2 ** 20);
  t.true(Number(row?.memory_page_cache_bytes) > 128 * 2 ** 20);
});

test.serial(
  'a migration that does not converge is cancelled, and the VM runs on at the source',
  async (t) => {
    const options = { scenario: 'idle', engine: 'precopy', warmStart: true, before: 3, after: 3, maxTime: 5 };
    const { outcome, row } = await run(t, options, { lab });
    t.is(outcome, 'not-converged');
    t.false(row?.converged);
    t.is(row?.ledger_lost, 0);
  },
);

test.serial('a step that fails names itself, keeps its evidence, and leaves no VM', async (t) => {
  const { src } = lab.hosts;
  const act = async (): Promise<void> => {
    // The source VM is up.
    await src.run('systemctl kill --signal=KILL poolshift-vm');
  };
  const at = { step: 'warm the pool', act };
  const { outcome, reason, folder } = await run(t, { scenario: 'idle' }, { lab, at });
  t.is(outcome, 'failed');
  t.regex(reason ?? '', /^warm the pool: the VM on src is gone: its QEMU ended without a word/);
  t.regex(await readFile(path.join(folder, 'logs', 'console-src.log'), 'utf8'), /POOLSHIFT \S+ server-up/);
  t.true((await readdir(path.join(folder, 'logs'))).includes('qemu-src.log'));
  t.is((await src.run('ls /dev/shm; ls /run/poolshift | grep [.]sock$; true')).stdout, '');
});
