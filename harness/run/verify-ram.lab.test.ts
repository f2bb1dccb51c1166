/**
 * Pages restored from storage leave both VMs with the same RAM, byte by byte, whatever the database does meanwhile. (rw on
 * MariaDB is checked in experiment.lab.test.ts, on an inventory's machines.) About five minutes on two cores under TCG.
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

for (const [dbms, scenario] of cells) {
  test.serial(`${dbms}, ${scenario}: no page differs`, async (t) => {
    const options = { dbms, scenario, engine: 'restore', verifyRam: true, before: 2, after: 0 };
    const { outcome, row } = await run(t, options);
    t.is(outcome, 'completed');
    t.is(row?.ram_pages_differing, 0);
    t.is(row?.ram_pages_compared, (small.vmMemory * 2 ** 20) / 4096);
    t.true(Number(row?.pages_restored) > 1000);
  });
}
