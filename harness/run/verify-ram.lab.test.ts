/**
 * Pages restored from storage leave both VMs with the same RAM, byte by byte. rw on MariaDB is checked in
 * experiment.lab.test.ts, on an inventory's machines. About six minutes on two cores under TCG.
 */
import test from 'ava';
import type { ScenarioName } from '../../experiments/scenarios.ts';
import type { DatabaseSystem } from '../../guest/image/packages.ts';
import { clearLeftovers, waitForRoom } from '../testbed/local/lab-process.ts';
import { run, small } from './small-run.fixture.ts';

test.before(async (t) => {
  await waitForRoom((line) => {
    t.log(line);
  });
  await clearLeftovers();
});

const cells: readonly (readonly [DatabaseSystem, ScenarioName])[] = [
  ['mariadb', 'idle'],
  ['mariadb', 'ro'],
  ['mysql', 'idle'],
  ['mysql', 'ro'],
  ['mysql', 'rw'],
];

/** Little data, which is quickly filled, warmed and checked, and a link so slow that the list comes in time. */
const short = { engine: 'restore', verifyRam: true, tableData: 24, before: 3, after: 0, linkRate: '80mbit' };

for (const [dbms, scenario] of cells) {
  test.serial(`${dbms}, ${scenario}: no page differs`, async (t) => {
    const { outcome, row } = await run(t, { ...short, dbms, scenario });
    t.is(outcome, 'completed');
    t.is(row?.ram_pages_differing, 0);
    t.is(row?.ram_pages_compared, (small.vmMemory * 2 ** 20) / 4096);
    t.true(Number(row?.pages_restored) > 1000);
  });
}
