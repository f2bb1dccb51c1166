/**
 * Pages restored from storage leave both VMs with the same RAM, byte by byte. rw on MariaDB is checked in
 * experiment.lab.test.ts, on an inventory's machines. About six minutes on two cores under TCG.
 */
import test from 'ava';
import type { ScenarioName } from '../../experiments/scenarios.ts';
import type { DatabaseSystem } from '../../guest/image/packages.ts';
import { clearLeftovers, waitForRoom } from '../testbed/local/lab-process.ts';
import { run, RunsLab, small } from './small-run.fixture.ts';

let lab: RunsLab;

test.before(async (t) => {
  const log = (line: string): void => {
    t.log(line);
  };
  await waitForRoom(log);
  await clearLeftovers();
  lab = await RunsLab.start('verify-ram.lab.test.ts', log);
});
test.after.always(() => lab.close());

const cells: readonly (readonly [DatabaseSystem, ScenarioName])[] = [
  ['mariadb', 'idle'],
  ['mariadb', 'ro'],
  ['mysql', 'idle'],
  ['mysql', 'ro'],
  ['mysql', 'rw'],
];

const short = { engine: 'restore', verifyRam: true, warmStart: true, before: 3, after: 0 };
const settings = {
  /** So slow a link that the list comes long before the first pass ends. */
  mariadb: { linkRate: '250mbit' },
  /** MySQL's programs need more memory, and it dirties more for each transaction: what converges. */
  mysql: { vmMemory: 512, tableData: 24, rate: 2, linkRate: '250mbit' },
};

for (const [dbms, scenario] of cells) {
  test.serial(`${dbms}, ${scenario}: no page differs`, async (t) => {
    const options = { ...small, ...short, ...settings[dbms], dbms, scenario };
    const { outcome, row } = await run(t, options, { lab });
    t.is(outcome, 'completed');
    t.is(row?.ram_pages_differing, 0);
    t.is(row?.ram_pages_compared, (options.vmMemory * 2 ** 20) / 4096);
    t.true(Number(row?.pages_restored) > 1000);
  });
}
