/** The load of a run, as the probe that runs it on the client. Pure. */
import type { Configuration } from '../../experiments/configuration.ts';
import { engines } from '../../experiments/engines.ts';
import { scenarios } from '../../experiments/scenarios.ts';
import type { ProbeConfig } from '../probes/report.ts';
import { sysbenchName } from './intake.ts';
import type { DatabaseServer } from '../workload/database-server.ts';
import { sysbenchCommand } from '../workload/sysbench.ts';

/** Undefined where the scenario has no load. */
export function loadProbe(
  configuration: Configuration,
  server: DatabaseServer,
  data: { readonly tables: number; readonly rowsPerTable: number },
): ProbeConfig | undefined {
  const { scenario, engine, threads, rateTps, seed } = configuration;
  const { sysbenchWorkload: workload } = scenarios[scenario];
  if (workload === undefined) return undefined;
  const { beforeSeconds, maxTimeSeconds, afterSeconds } = configuration;
  // It is ended with the run; this only bounds it.
  const timeSeconds = Math.ceil(beforeSeconds + maxTimeSeconds + afterSeconds) + 600;
  return {
    probe: 'lines',
    name: sysbenchName,
    command: sysbenchCommand({ workload, server, ...data, threads, rateTps, timeSeconds, seed }),
    // It ends when it loses its connections.
    ...(engines[engine].kind === 'restart'
      ? { restartWhenReachable: { host: server.host, port: server.port } }
      : {}),
  };
}
