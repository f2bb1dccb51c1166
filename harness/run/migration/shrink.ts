/**
 * After JAVMM's idea, that the application says what need not be sent (Hou, Shin, Sung: Application-assisted live migration of
 * virtual machines with Java applications, EuroSys 2015): the server writes down what its buffer pool holds and makes the pool
 * small, a balloon takes the memory that this frees, and QEMU migrates what is left. Afterwards, wherever the VM then is, the
 * balloon gives the memory back and the server makes the pool large and reads it again while it serves. Only for MariaDB,
 * which gives the pool's memory back to the system at once (storage/innobase/buf/buf0buf.cc, buf_pool_t::shrink).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '../../../foundation/coded-error.ts';
import { mebibytes } from '../../../foundation/quantity.ts';
import type { QmpClient } from '../../../qemu/qmp/client.ts';
import { nowMs } from '../../probes/wall-clock.ts';
import { whileVmLives } from '../../vm/while-vm-lives.ts';
import { dumpPool, prepareDump, waitForPool } from '../../workload/pool-load.ts';
import { runSql } from '../../workload/sql-client.ts';
import { readBufferPoolUse } from '../../workload/warm-up.ts';
import type { Migration, MigrationContext } from './migration.ts';

/** A balloon that has taken nothing for so long has all that the guest gives. */
const idleMs = 5000;
const pollMs = 200;

/** The migration with that before and after it; its command is when the shrinking begins. */
export function shrunk(context: MigrationContext, share: number, inner: Migration): Migration {
  const { configuration, testbed, source, target, server, log, signal } = context;
  const { client } = testbed.hosts;
  const { vmMemoryBytes, bufferPoolBytes, maxTimeSeconds } = configuration;
  const timeoutMs = maxTimeSeconds * 1000;
  const waiting = { timeoutMs, signal };
  const report = async (phase: 'shrunk' | 'grown' | 'loaded', at_ms = nowMs()): Promise<void> => {
    const { dataBytes: bytes } = await readBufferPoolUse(client, server);
    log.event({ event: 'pool', at_ms, phase, bytes });
  };
  return {
    run: async () => {
      const capacity = await prepareDump(client, server);
      log.event({ event: 'migrate-command', at_ms: nowMs(), uri: 'shrink' });
      await dumpPool(client, server, waiting);
      const sizes = shrinkingSizes(bufferPoolBytes, share);
      for (const bytes of sizes) await resizePool(context, bytes);
      const smallBytes = sizes.at(-1) ?? bufferPoolBytes;
      await report('shrunk');
      const takenBytes = await inflate(source, vmMemoryBytes, bufferPoolBytes - smallBytes, signal);
      log.event({ event: 'pool', at_ms: nowMs(), phase: 'given-back', bytes: takenBytes });

      const outcome = await inner.run();

      const vm = outcome === 'completed' ? target : source;
      await vm.execute('balloon', { value: vmMemoryBytes });
      await settled(vm, (bytes) => bytes === vmMemoryBytes, signal);
      await whileVmLives(vm, resizePool(context, bufferPoolBytes));
      await report('grown');
      const { loadStatus } = await readBufferPoolUse(client, server);
      await runSql(
        client,
        server,
        `SET GLOBAL innodb_io_capacity = ${capacity.whileLoading}; SET GLOBAL innodb_buffer_pool_load_now = ON`,
      );
      const loadedAtMs = await whileVmLives(vm, waitForPool(client, server, waiting, loadStatus));
      await report('loaded', loadedAtMs);
      await runSql(client, server, `SET GLOBAL innodb_io_capacity = ${capacity.usual}`);
      return outcome;
    },
    close: () => inner.close(),
  };
}

/** In steps of extents of the pool, which are 8 MiB (storage/innobase/include/buf0buf.h). */
const extentBytes = 8 * 2 ** 20;

/**
 * Sizes by which a pool becomes that share of itself, each at least half of the one before: while a pool shrinks, the server
 * refuses statements ("The total number of locks exceeds the lock table size") as soon as a quarter of its former size is left
 * (buf_pool_t::running_out).
 */
export function shrinkingSizes(poolBytes: number, share: number): readonly number[] {
  const smallest = Math.ceil((poolBytes * share) / extentBytes) * extentBytes;
  const sizes: number[] = [];
  for (let bytes = poolBytes; bytes > smallest;) {
    bytes = Math.max(smallest, Math.ceil(bytes / 2 / extentBytes) * extentBytes);
    sizes.push(bytes);
  }
  return sizes;
}

async function resizePool(
  { testbed, server, configuration }: MigrationContext,
  bytes: number,
): Promise<void> {
  const { client } = testbed.hosts;
  const rows = await runSql(
    client,
    server,
    `SET GLOBAL innodb_buffer_pool_size = ${bytes}; SELECT @@innodb_buffer_pool_size`,
    { timeoutMs: configuration.maxTimeSeconds * 1000 },
  );
  const found = Number(rows[0]?.[0]);
  if (found !== bytes)
    throw new CodedError(
      'run',
      'migration-failed',
      `the server made its buffer pool ${mebibytes(found)} in place of ${mebibytes(bytes)}`,
    );
}

/** Takes so much memory from the guest, or as much as it gives; returns how much that was. */
async function inflate(
  vm: QmpClient,
  memoryBytes: number,
  bytes: number,
  signal: AbortSignal,
): Promise<number> {
  await vm.execute('balloon', { value: memoryBytes - bytes });
  const left = await settled(vm, (actual) => actual <= memoryBytes - bytes, signal);
  return memoryBytes - left;
}

/** What the guest has when the balloon is as it should be, or does not change any more. */
async function settled(
  vm: QmpClient,
  isReached: (actualBytes: number) => boolean,
  signal: AbortSignal,
): Promise<number> {
  let last = Number.NaN;
  let changedMs = performance.now();
  for (;;) {
    const { actual } = await vm.execute('query-balloon');
    if (isReached(actual)) return actual;
    if (actual !== last) changedMs = performance.now();
    else if (performance.now() - changedMs > idleMs) return actual;
    last = actual;
    await sleep(pollMs, undefined, { signal });
  }
}
