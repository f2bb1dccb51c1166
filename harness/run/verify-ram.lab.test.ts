/**
 * Pages restored from storage leave both VMs with the same RAM, byte by byte. rw on MariaDB is checked in
 * experiment.lab.test.ts, on an inventory's machines. About six minutes on two cores under TCG.
 */
import test from 'ava';
import type { ScenarioName } from '../../experiments/scenarios.ts';
import type { DatabaseSystem } from '../../guest/image/packages.ts';
import { clearLeftovers, waitForRoom } from '../testbed/local/lab-process.ts';
import { run } from './small-run.fixture.ts';

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

const short = { engine: 'restore', verifyRam: true, tableData: 24, before: 3, after: 0 };
const settings = {
  /** So slow a link that the list comes long before the first pass ends. */
  mariadb: { vmMemory: 384, linkRate: '80mbit' },
  /**
   * MySQL's programs need more memory and more time to start, and it dirties more for each transaction: what converges, and
   * leaves the agent the time for its first list.
   */
  mysql: { vmMemory: 512, rate: 2, before: 10 },
};

for (const [dbms, scenario] of cells) {
  test.serial(`${dbms}, ${scenario}: no page differs`, async (t) => {
    const { outcome, row } = await run(t, {
      ...short,
      ...settings[dbms],
      dbms,
      scenario,
    });
    t.is(outcome, 'completed');
    t.is(row?.ram_pages_differing, 0);
    t.is(row?.ram_pages_compared, (settings[dbms].vmMemory * 2 ** 20) / 4096);
    t.true(Number(row?.pages_restored) > 1000);
  });
}
