/** After a run: is every commit that was acknowledged to the client in the database? */
import type { Host } from '../testbed/host.ts';
import type { DatabaseServer } from './database-server.ts';
import { runSql } from './sql-client.ts';

interface LedgerResult {
  readonly acknowledged: number;
  /** Acknowledged numbers that are not in the database. */
  readonly lost: number;
  readonly firstLost: number | undefined;
}

/** Numbers that the client's file gives as acknowledged. A last line that was cut short does not count. */
export function parseLedgerFile(text: string): number[] {
  return text
    .split('\n')
    .slice(0, -1)
    .filter((line) => /^\d+$/.test(line))
    .map(Number);
}

export function compareLedger(acknowledged: readonly number[], stored: ReadonlySet<number>): LedgerResult {
  const lost = acknowledged.filter((number) => !stored.has(number));
  return { acknowledged: acknowledged.length, lost: lost.length, firstLost: lost[0] };
}

/**
 * Compares the ledger probe's file on the client with the table.
 * @throws CodedError 'host' where the file or the table cannot be read
 */
export async function checkLedger(client: Host, server: DatabaseServer, file: string): Promise<LedgerResult> {
  const { stdout } = await client.run(`cat '${file}'`);
  const rows = await runSql(client, server, 'SELECT number FROM poolshift.ledger');
  return compareLedger(parseLedgerFile(stdout), new Set(rows.map(([number]) => Number(number))));
}
