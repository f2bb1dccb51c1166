/**
 * A server that writes down what its buffer pool holds, and reads it again elsewhere or later
 * (https://dev.mysql.com/doc/refman/en/innodb-preload-buffer-pool.html).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '../../foundation/coded-error.ts';
import type { Host } from '../testbed/host.ts';
import type { DatabaseServer } from './database-server.ts';
import { parseRows, runSql, sqlClientCommand } from './sql-client.ts';
import { judgePoolLoad } from './warm-up.ts';

/** Each question is a new connection, which a server under load answers too. */
const pollMs = 250;

/** Pages per second (innodb_io_capacity). */
export interface IoCapacity {
  readonly usual: number;
  /** A server that has other work loads no more than its capacity, 3 MB/s by default: this is the most that it may be set to. */
  readonly whileLoading: number;
}

/** Has all of the pool written down when that is done, and not a quarter. @throws CodedError 'host', CodedError 'run' */
export async function prepareDump(client: Host, server: DatabaseServer): Promise<IoCapacity> {
  const rows = await runSql(
    client,
    server,
    `SET GLOBAL innodb_buffer_pool_dump_at_shutdown = ON; SET GLOBAL innodb_buffer_pool_dump_pct = 100;
SELECT @@innodb_io_capacity, @@innodb_io_capacity_max`,
  );
  const [usual, whileLoading] = (rows[0] ?? []).map(Number);
  if (usual === undefined || whileLoading === undefined || !(usual > 0 && whileLoading > 0))
    throw new CodedError(
      'run',
      'migration-failed',
      `the server does not tell its innodb_io_capacity: ${JSON.stringify(rows)}`,
    );
  return { usual, whileLoading };
}

interface Waiting {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Waits until the server has loaded its pool, and returns when it said so, by the clock of the client.
 * @param earlier what it said before it was told to, where it was told
 * @throws CodedError 'host', CodedError 'run', 'migration-failed'
 */
export async function waitForPool(
  client: Host,
  server: DatabaseServer,
  waiting: Waiting,
  earlier?: string,
): Promise<number> {
  return waitFor(client, server, 'Innodb_buffer_pool_load_status', waiting, (status) =>
    status === earlier ? 'loading' : judgePoolLoad(status),
  );
}

/** Writes down what the pool holds. @throws CodedError 'host', CodedError 'run', 'migration-failed' */
export async function dumpPool(client: Host, server: DatabaseServer, waiting: Waiting): Promise<void> {
  await runSql(client, server, 'SET GLOBAL innodb_buffer_pool_dump_now = ON');
  await waitFor(client, server, 'Innodb_buffer_pool_dump_status', waiting, (status) =>
    /dump completed/i.test(status) ? 'completed' : /^(Cannot|Error)/i.test(status) ? 'failed' : 'loading',
  );
}

async function waitFor(
  client: Host,
  server: DatabaseServer,
  variable: 'Innodb_buffer_pool_load_status' | 'Innodb_buffer_pool_dump_status',
  { timeoutMs, signal }: Waiting,
  judge: (status: string) => ReturnType<typeof judgePoolLoad>,
): Promise<number> {
  const deadlineMs = performance.now() + timeoutMs;
  for (let said = 'nothing yet'; ;) {
    if (performance.now() > deadlineMs)
      throw new CodedError(
        'run',
        'migration-failed',
        `${variable} was not completed within --max-time; the server says: ${said}`,
      );
    const { stdout } = await client.run(`${sqlClientCommand(server)} && date +%s.%N`, {
      input: `SHOW GLOBAL STATUS LIKE '${variable}';\n`,
    });
    const [[, status = ''] = [], [seconds] = []] = parseRows(stdout);
    said = status;
    const state = judge(status);
    if (state === 'completed') return Number(seconds) * 1000;
    if (state === 'failed') throw new CodedError('run', 'migration-failed', `${variable}: ${status}`);
    await sleep(pollMs, undefined, { signal });
  }
}
