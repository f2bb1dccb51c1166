/** Migration through our engine: a source engine and a destination engine between the two QEMUs. */
import { randomUUID } from 'node:crypto';
import { CodedError, isCoded } from '../../../foundation/coded-error.ts';
import type { PoolshiftEngine } from '../../../experiments/engines.ts';
import { prepareEngine } from './engine-bundle.ts';
import { bringEngineKey, type EngineKey } from './engine-key.ts';
import type { HostProcess } from '../../testbed/host.ts';
import type { MigrationInfo } from '../../../qemu/qmp/messages.ts';
import { type EarlyMove, moveEarly } from './early-move.ts';
import { DowntimeSteps } from './downtime-steps.ts';
import { type CountersSink, EngineOutput } from './engine-output.ts';
import {
  type Migration,
  type MigrationContext,
  commandMigration,
  setUpQemu,
  tellSource,
} from './migration.ts';
import { SwitchoverBandwidth } from './switchover-bandwidth.ts';

/** Ends what hangs: an engine starts within a second or two, and on a host that is itself emulated within half a minute. */
const startTimeoutMs = 60_000;
/** The lab's guests have an agent, which may answer late where they are emulated and have just booted. */
const agentTimeoutSeconds = 40;

export function throughEngine(context: MigrationContext, engine: PoolshiftEngine): Migration {
  const { testbed, log } = context;
  const { outgoingSocket, incomingSocket, migrationPort, machine } = context.vm;
  const processes: HostProcess[] = [];
  /** Of this migration alone, as its key is: an engine that another one left behind is refused. */
  const name = `run-${randomUUID()}`;
  let key: EngineKey | undefined;
  const early = engine.strategy === 'resume';
  const { beforeSwitchPercent = 0, compress } = context.configuration;

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
    key ??= await bringEngineKey(testbed);
    const child = testbed.hosts[host].spawn(
      `exec node ${bundle} ${arguments_} --psk-file ${key.path} --vm ${name} --json`,
    );
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
        `destination --listen ${address} --incoming unix:${incomingSocket} --storage ${context.storagePlace}` +
          (context.configuration.placement === 'off' ? ' --target-ram none' : ''),
      );
      await destination.waitFor('listening', startTimeoutMs);
      const source = await start(
        'src',
        `source --listen unix:${outgoingSocket} --connect ${address} --agent ${machine.paths.agentSocket} ` +
          `--agent-timeout ${agentTimeoutSeconds} --ram file:${machine.paths.ram} --strategy ${engine.strategy}` +
          (early ? ` --before-switch ${beforeSwitchPercent}` : '') +
          (compress === undefined ? '' : ` --compress ${compress}`),
        // Early resume has a bandwidth of its own, with which QEMU goes over to post-copy.
        early ? undefined : tellSwitchoverBandwidth(context),
      );
      await source.waitFor('listening', startTimeoutMs);
      let move: EarlyMove | undefined;
      try {
        const raiseLimit = early ? undefined : raiseDowntimeLimit(context, source);
        const migrating = commandMigration(context, `unix:${outgoingSocket}`, (info) => {
          // QEMU waits for as long as nobody decides; the target stays paused.
          if (source.hasReported('in-doubt'))
            throw new CodedError('run', 'migration-failed', 'the switchover is in doubt');
          if (source.hasReported('incomplete') || destination.hasReported('incomplete'))
            throw new CodedError(
              'run',
              'migration-failed',
              'the VM is at the destination without some of its pages',
            );
          raiseLimit?.(info);
        });
        if (early) move = moveEarly(context, source);
        const outcome = await migrating;
        // Both report their totals before they end.
        await Promise.all([source.ended, destination.ended]);
        if (outcome === 'cancelled') await move?.giveBack();
        return outcome;
      } catch (error) {
        await move?.giveBack();
        const reasons = [source.failure, destination.failure].filter((reason) => reason !== undefined);
        if (!isCoded(error, 'run', 'migration-failed') || reasons.length === 0) throw error;
        throw new CodedError('run', 'migration-failed', `${error.message}; engines: ${reasons.join('; ')}`, {
          cause: error,
        });
      }
    },
    close: async () => {
      await Promise.all(processes.map((child) => child.stop()));
      // QEMU leaves it where nobody has connected to it.
      await testbed.hosts.dst.run(`rm -f ${incomingSocket}`).catch(() => undefined);
      await key?.remove();
    },
  };
}

/** Keeps QEMU informed of how fast its dirty pages would cross the link at switchover. */
function tellSwitchoverBandwidth(context: MigrationContext): CountersSink {
  const bandwidth = new SwitchoverBandwidth(context.migrationGoodputBytesPerSecond);
  return (counters) => {
    const bytesPerSecond = bandwidth.update(counters);
    if (bytesPerSecond === undefined) return;
    tellSource(context, 'avail-switchover-bandwidth', 'switchover_bytes_per_second', bytesPerSecond);
  };
}

/** Gives a VM more downtime that does not converge once nothing is pending any more. */
function raiseDowntimeLimit(context: MigrationContext, engine: EngineOutput): (info: MigrationInfo) => void {
  const { downtimeLimitMs, downtimeLimitMaxMs = 0 } = context.configuration;
  const steps = new DowntimeSteps(downtimeLimitMs, downtimeLimitMaxMs);
  return ({ ram }) => {
    const passes = ram?.['dirty-sync-count'];
    if (passes === undefined || !engine.hasReported('gate-released')) return;
    const limitMs = steps.update(passes);
    if (limitMs !== undefined) tellSource(context, 'downtime-limit', 'downtime_limit_ms', limitMs);
  };
}
