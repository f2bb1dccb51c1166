/**
 * Two small VMs of one host that move to the other at once: each is checked byte by byte and has a record of its own; and
 * whenever the run is ended, nothing of either is left on hosts that stay up. About two minutes on two cores under TCG.
 */
import test from 'ava';
import type { NewRunEvent } from '../../record/event.ts';
import { readRun } from '../../record/read-run.ts';
import { hasCompleted, run, RunsLab } from './small-run.fixture.ts';

const two = {
  vms: 2,
  vmMemory: 256,
  tableData: 16,
  scenario: 'idle',
  engine: 'balance',
  before: 2,
  after: 2,
  warmStart: true,
};

let lab: RunsLab;

test.before(async (t) => {
  lab = await RunsLab.start(t, 'two-vms.lab.test.ts');
});
test.after.always(() => lab.close());

/** What a VM host has of VMs, and of what moves them. */
async function left(): Promise<readonly string[]> {
  const { src, dst } = lab.hosts;
  const found = await Promise.all(
    [src, dst].map((host) =>
      host.run(`ls /dev/shm; ls /run/poolshift | grep -E '[.]sock$|^key-'; ls /sys/class/net | grep -E '^(tap|br)'
pgrep -a 'qemu|node'; true`),
    ),
  );
  return found.flatMap(({ stdout }) => stdout.split('\n').filter(Boolean));
}

test.serial(
  'both arrive with the same RAM, and each has its figures and its part of the links',
  async (t) => {
    const result = await run(t, { ...two, verifyRam: true }, { lab });
    const { vms } = result;
    t.true(hasCompleted(result), result.reason);
    t.is(vms.length, 2);
    for (const [index, { folder, row }] of vms.entries()) {
      t.is(row?.ram_pages_differing, 0);
      t.is(row?.ram_pages_compared, (two.vmMemory * 2 ** 20) / 4096);
      t.is(row?.vms, 2);
      t.is(row?.vm, index);
      t.true(Number(row?.vms_total_time_ms) >= Number(row?.total_time_ms));
      t.true(Number(row?.vm_migration_link_bytes) < Number(row?.migration_link_bytes));
      t.is(row?.ledger_lost, 0);
      t.true(Number(row?.ledger_acknowledged) > 10);
      const { events } = await readRun(folder);
      t.is(events.filter((event) => event.event === 'migrate-command').length, 1);
    }
    const [first, second] = vms.map(({ row }) => row);
    t.is(first?.vms_total_time_ms, second?.vms_total_time_ms);
    t.true(Math.abs(Number(first?.migration_link_share) + Number(second?.migration_link_share) - 1) < 1e-6);
    // Where a list comes late, nothing may be left to be read.
    const read = [first, second].map((row) => row?.storage_link_share);
    t.true(
      read.every((share) => share === undefined) || Math.abs(Number(read[0]) + Number(read[1]) - 1) < 1e-6,
    );
    t.deepEqual(await left(), []);
  },
);

test.serial('the second VM that is gone ends the run, and the first goes with it', async (t) => {
  const { outcome, reason } = await run(t, two, {
    lab,
    at: {
      step: 'load before the migration',
      act: async () => {
        await lab.hosts.src.run('systemctl kill --signal=KILL poolshift-vm-1');
      },
    },
  });
  t.is(outcome, 'failed');
  t.regex(reason ?? '', /VM 1 on src is gone: its QEMU ended without a word/);
  t.deepEqual(await left(), []);
});

/** True at the first event by which it has happened to both VMs. */
function bothHave(isIt: (event: NewRunEvent) => boolean): (event: NewRunEvent, vm?: number) => boolean {
  const seen = new Set<number>();
  return (event, vm) => vm !== undefined && isIt(event) && seen.add(vm).size === 2;
}

const moments: readonly (readonly [when: string, isIt: (event: NewRunEvent) => boolean])[] = [
  [
    'both have booted',
    (event) => event.event === 'connection' && event.probe === 'qmp' && event.state === 'connected',
  ],
  ['both move', (event) => event.event === 'migration-status' && event.status === 'active'],
];

for (const [when, isIt] of moments) {
  test.serial(`an interrupt when ${when} leaves nothing of either`, async (t) => {
    const { outcome } = await run(t, two, { lab, interruptAt: bothHave(isIt) });
    t.is(outcome, 'aborted');
    t.deepEqual(await left(), []);
  });
}
