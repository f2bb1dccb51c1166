/**
 * HAProxy on the client's host, between the clients and two servers of which one is to be written. It knows TCP and not SQL: a
 * connection ends with its server's, and a new one waits in the proxy, which tries again, until there is a server that takes it.
 */
import type { Host, HostProcess } from '../testbed/host.ts';
import { makeRunFolder } from '../testbed/ssh-host.ts';
import { quote } from '../../foundation/shell.ts';
import type { DatabaseServer } from './database-server.ts';

const port = 3307;
const files = { configuration: '/run/poolshift/haproxy.cfg', socket: '/run/poolshift/haproxy.sock' };

/** Between two attempts, and for each; HAProxy waits no longer than this after a refusal (src/stream.c). */
const tryAgainMs = 250;
/** An hour's. */
const attempts = (3600 * 1000) / tryAgainMs;

export interface SqlProxy {
  /** As clients on its host reach it. */
  readonly server: DatabaseServer;
  /** From now on new connections, those that wait too, go to the second server. @throws CodedError 'host' */
  switchOver(): Promise<void>;
  /** Idempotent. */
  stop(): Promise<void>;
}

/** @throws CodedError 'host' where HAProxy does not start */
export async function startSqlProxy(
  host: Host,
  first: DatabaseServer,
  second: DatabaseServer,
): Promise<SqlProxy> {
  const configuration = `global
  stats socket ${files.socket} mode 600 level admin
defaults
  mode tcp
  timeout connect ${tryAgainMs}ms
  timeout client 1d
  timeout server 1d
  retries ${attempts}
  option redispatch 1
listen database
  bind 127.0.0.1:${port}
  server first ${first.host}:${first.port}
  server second ${second.host}:${second.port} disabled
`;
  await host.run(`${makeRunFolder} && rm -f ${files.socket} && cat > ${files.configuration}`, {
    input: configuration,
  });
  const haproxy: HostProcess = host.spawn(`exec haproxy -db -f ${files.configuration}`);
  const command = (text: string): Promise<unknown> =>
    // It answers nothing where it has done as told.
    host.run(
      `answer=$(echo ${quote(text)} | socat - ${files.socket}) && [ -z "$answer" ] || { echo "$answer" >&2; exit 1; }`,
    );
  await host.run(
    `for attempt in $(seq 100); do [ -S ${files.socket} ] && exit 0; sleep 0.05; done; echo "HAProxy does not start" >&2; exit 1`,
  );
  return {
    server: { ...first, host: '127.0.0.1', port },
    switchOver: async () => {
      await command('set server database/second state ready');
      await command('set server database/first state maint');
    },
    stop: () => haproxy.stop(),
  };
}
