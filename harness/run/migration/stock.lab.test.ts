/**
 * QEMU's own methods with one small guest, which goes from host to host: each moves it, its server answers there, and each
 * does what it is named for. About a minute under TCG.
 */
import test, { type ExecutionContext } from 'ava';
import { optionsSchema, resolveConfiguration } from '../../../experiments/configuration.ts';
import { type EngineName, engines } from '../../../experiments/engines.ts';
import type { Sample } from '../../../record/event.ts';
import type { RunLog } from '../../../record/run-log.ts';
import type { MachineDescription } from '../../../qemu/machine-arguments.ts';
import type { QmpClient } from '../../../qemu/qmp/client.ts';
import { mariadbGuest as server, prepareGuestLab } from '../../vm/guest.fixture.ts';
import { startVm, stopVm, waitForServer } from '../../vm/machine.ts';
import { firstVm } from '../../vm/vm-place.ts';
import { runSql } from '../../workload/sql-client.ts';
import { stock } from './stock.ts';

interface Moved {
  readonly samples: readonly Sample[];
  readonly target: QmpClient;
}

/** Boots a guest, and gives what moves it to the other host by a method's name. */
async function bootGuest(t: ExecutionContext) {
  const { testbed, machine } = await prepareGuestLab(t, {
    owner: 'stock.lab.test.ts',
    rates: { migration: 500e6, storage: 500e6, service: 500e6 },
    rowsPerTable: 20_000,
    agent: false,
    log: (line) => {
      t.log(line);
    },
  });
  const { src, dst, client } = testbed.hosts;
  const { migration } = testbed.networks;
  let [from, to] = [src, dst];
  const guest: MachineDescription = { ...machine, balloon: 'free-page-hint' };
  t.teardown(() => Promise.all([src, dst].map((host) => stopVm(host))));
  let source = await startVm(from, guest);
  await waitForServer({ client, vmHost: from, server, timeoutMs: 300_000 });

  return async (name: EngineName): Promise<Moved> => {
    const engine = engines[name];
    if (engine.kind !== 'stock') throw new Error(`${name} is not QEMU's own`);
    const target = await startVm(to, { ...guest, role: 'target' });
    const samples: Sample[] = [];
    const log = {
      event: () => undefined,
      sample: (sample: Sample) => samples.push(sample),
    };
    const method = stock(
      {
        configuration: resolveConfiguration(optionsSchema.parse({ vmMemory: 384, maxTime: 300 })),
        // The way back is to the source's address.
        testbed: {
          ...testbed,
          networks: {
            ...testbed.networks,
            migration: {
              ...migration,
              addresses: { ...migration.addresses, dst: migration.addresses[to.name] },
            },
          },
        },
        source,
        target,
        vm: firstVm,
        server,
        migrationGoodputBytesPerSecond: 60e6,
        storagePlace: '',
        deploy: (file) => Promise.resolve(file),
        log: log as unknown as RunLog,
        signal: new AbortController().signal,
      },
      engine,
    );
    // A target of the migration before has its settings still.
    await source.execute('migrate-set-capabilities', {
      capabilities: (['postcopy-preempt', 'postcopy-ram', 'multifd'] as const).map((capability) => ({
        capability,
        state: false,
      })),
    });
    const statuses: unknown[] = [];
    source.onEvent((event) => {
      if (event.name === 'MIGRATION') statuses.push(event.data['status']);
    });
    t.is(await method.run(), 'completed', name);
    await method.close();
    const info = await source.execute('query-migrate');
    t.log(name, JSON.stringify({ ...info, statuses }));
    t.is((await target.execute('query-status')).status, 'running', name);
    t.not((await source.execute('query-status')).status, 'running', name);
    t.is(statuses.includes('postcopy-active'), engine.postcopyAfterMs !== undefined, name);
    await waitForServer({ client, vmHost: to, server, timeoutMs: 60_000 });
    t.deepEqual(await runSql(client, server, 'SELECT COUNT(*) FROM sbtest.sbtest2'), [['20000']], name);
    await stopVm(from);
    source = target;
    [from, to] = [to, from];
    return { samples, target };
  };
}

test('each of them moves a guest, and one with a balloon that takes hints keeps all of its memory', async (t) => {
  t.timeout(15 * 60_000);
  const move = await bootGuest(t);
  const { target } = await move('free-page-hint');
  t.is((await target.execute('query-balloon')).actual, 384 * 2 ** 20);
  await move('multifd');
  for (const name of ['precopy-stepped', 'multifd-zstd-stepped'] as const) {
    const [first] = (await move(name)).samples;
    t.like(first, { host: 'src', metric: 'downtime_limit_ms', value: 50 }, name);
  }
  await move('postcopy-preempt');
});
