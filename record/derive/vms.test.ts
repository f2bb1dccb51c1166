import test from 'ava';
import type { RunEvent } from '../event.ts';
import type { Manifest } from '../manifest.ts';
import type { RunRecord } from '../read-run.ts';
import { command, every, manifest, qmp } from '../record.fixture.ts';
import { vmColumns } from './vms.ts';

const engine = (host: 'src' | 'dst', fields: Record<string, number>): RunEvent => ({
  event: 'engine',
  at_ms: 1,
  host,
  name: 'done',
  fields,
});

/** Commanded and ended at these times; its engines counted so much a second. */
function moved(vm: 0 | 1, fromMs: number, toMs: number, rates: { sent: number; read: number }): RunRecord {
  const counted = (rate: number): number[] => [...Array(200).keys()].map((second) => second * rate);
  const configuration: Manifest['configuration'] = { ...manifest.configuration, engine: 'restore', vms: 2 };
  return {
    name: vm === 0 ? 'run' : 'run-vm1',
    manifest: { ...manifest, configuration, ...(vm === 0 ? {} : { vm }) },
    events: [
      engine('src', { migration_link_bytes: 111 + vm }),
      engine('dst', { storage_link_bytes: 222 + vm }),
      command(fromMs),
      qmp(toMs - 200, 'src', 'STOP'),
      qmp(toMs - 100, 'dst', 'RESUME'),
      qmp(toMs, 'src', 'MIGRATION', { status: 'completed' }),
    ],
    samples: [
      ...every(1000, 0, 'src', 'engine_migration_link_bytes', counted(rates.sent)),
      ...every(1000, 0, 'dst', 'engine_storage_link_bytes', counted(rates.read)),
    ],
  };
}

const first = moved(0, 10_000, 40_000, { sent: 300, read: 500 });
const second = moved(1, 11_000, 61_000, { sent: 100, read: 500 });

test('the time of both is from the first command to the last end, and shares are of the time in which both moved', (t) => {
  t.deepEqual(vmColumns(first, [second]), {
    vms: 2,
    vm: 0,
    vms_total_time_ms: 51_000,
    vm_migration_link_bytes: 111,
    vm_storage_link_bytes: 222,
    migration_link_share: 0.75,
    storage_link_share: 0.5,
  });
  t.like(vmColumns(second, [first]), {
    vm: 1,
    vms_total_time_ms: 51_000,
    vm_migration_link_bytes: 112,
    migration_link_share: 0.25,
  });
});

test('without the other’s record only the VM’s own is known', (t) => {
  t.like(vmColumns(first, []), {
    vms: 2,
    vm_migration_link_bytes: 111,
    vms_total_time_ms: undefined,
    migration_link_share: undefined,
  });
});

test('a run of one VM has none of these columns', (t) => {
  t.deepEqual(vmColumns({ ...first, manifest }, []), {});
});
