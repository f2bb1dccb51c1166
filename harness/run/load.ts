/** The load of a run, as the probe that runs it on the client. Pure. */
import type { Configuration } from '../../experiments/configuration.ts';
import { engines } from '../../experiments/engines.ts';
import type { ProbeConfig } from '../probes/report.ts';
import { sysbenchName } from './intake.ts';
import type { DatabaseServer } from '../workload/database-server.ts';
import { fullQueueText, type SysbenchData, sysbenchCommand } from '../workload/sysbench.ts';

export function loadProbe(
  configuration: Configuration,
  server: DatabaseServer,
  load: { readonly script: string; readonly data: SysbenchData },
): ProbeConfig {
  const { engine, threads, rateTps, seed } = configuration;
  const { beforeSeconds, maxTimeSeconds, afterSeconds } = configuration;
  // It is ended with the run; this only bounds it.
  const timeSeconds = Math.ceil(beforeSeconds + maxTimeSeconds + afterSeconds) + 600;
  // A restart takes the server from it for so long that a connection attempt of its own would wait ever longer for an answer.
  // A proxy takes it at once.
  const method = engines[engine];
  const losesServer = method.kind === 'restart' && method.standby === undefined;
  return {
    probe: 'lines',
    name: sysbenchName,
    command: sysbenchCommand({
      server,
      ...load,
      threads,
      rateTps,
      timeSeconds,
      seed,
      reconnect: !losesServer,
    }),
    restart: {
      host: server.host,
      port: server.port,
      ...(losesServer ? {} : { ifItSaid: fullQueueText }),
    },
  };
}
