/** Migration through our engine: a source engine and a destination engine between the two QEMUs. */
import type { PoolshiftEngine } from '../../../experiments/engines.ts';
import { prepareEngine } from './engine-bundle.ts';
import type { HostProcess } from '../../testbed/host.ts';
import { vmPaths } from '../../vm/qemu-arguments.ts';
import { type CountersSink, EngineOutput } from './engine-output.ts';
import {
  type Migration,
  type MigrationContext,
  MigrationError,
  commandMigration,
  migrationPort,
  setUpQemu,
} from './migration.ts';
import { SwitchoverBandwidth } from './switchover-bandwidth.ts';

const outgoingSocket = '/run/poolshift/outgoing.sock';
const incomingSocket = '/run/poolshift/incoming.sock';
const startTimeoutMs = 20_000;

export function throughEngine(context: MigrationContext, engine: PoolshiftEngine): Migration {
  const { testbed, log } = context;
  const processes: HostProcess[] = [];

  const start = async (
    host: 'src' | 'dst',
    arguments_: string,
    onCounters?: CountersSink,
  ): Promise<EngineOutput> => {
    const bundle = await context.deploy(
      await prepareEngine((text) => {
        log.event({ event: 'note', at_ms: Date.now(), text });
      }),
      host,
    );
    const child = testbed.hosts[host].spawn(`exec node ${bundle} ${arguments_} --json`);
    processes.push(child);
    return new EngineOutput(host, child, log, onCounters);
  };

  return {
    run: async () => {
      await setUpQemu(context, engine);
      await context.target.execute('migrate-incoming', { uri: `unix:${incomingSocket}` });
      const address = `${testbed.networks.migration.addresses.dst}:${migrationPort}`;
      const destination = await start(
        'dst',
        `destination --listen ${address} --incoming unix:${incomingSocket} --storage ${context.storagePlace}`,
      );
      await destination.waitFor('listening', startTimeoutMs);
      const source = await start(
        'src',
        `source --listen unix:${outgoingSocket} --connect ${address} --agent ${vmPaths.agentSocket} ` +
          `--ram file:${vmPaths.ram} --strategy ${engine.strategy}`,
        tellSwitchoverBandwidth(context),
      );
      await source.waitFor('listening', startTimeoutMs);
      try {
        const outcome = await commandMigration(context, `unix:${outgoingSocket}`);
        // Both report their totals before they end.
        await Promise.all([source.ended, destination.ended]);
        return outcome;
      } catch (error) {
        const reasons = [source.failure, destination.failure].filter((reason) => reason !== undefined);
        if (!(error instanceof MigrationError) || reasons.length === 0) throw error;
        throw new MigrationError(`${error.message}; engines: ${reasons.join('; ')}`, { cause: error });
      }
    },
    close: async () => {
      await Promise.all(processes.map((child) => child.stop()));
    },
  };
}

/** Keeps QEMU informed of how fast its dirty pages would cross the link at switch-over. */
function tellSwitchoverBandwidth({
  source,
  log,
  migrationGoodputBytesPerSecond,
}: MigrationContext): CountersSink {
  const bandwidth = new SwitchoverBandwidth(migrationGoodputBytesPerSecond);
  return (counters) => {
    const bytesPerSecond = bandwidth.update(counters);
    if (bytesPerSecond === undefined) return;
    const at_ms = Date.now();
    log.sample({ at_ms, host: 'src', metric: 'switchover_bytes_per_second', value: bytesPerSecond });
    source
      .execute('migrate-set-parameters', { 'avail-switchover-bandwidth': bytesPerSecond })
      .catch((error: unknown) => {
        const text = `avail-switchover-bandwidth could not be set: ${String(error)}`;
        log.event({ event: 'note', at_ms, text });
      });
  };
}
