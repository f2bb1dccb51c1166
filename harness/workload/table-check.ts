/** After a run: `CHECK TABLE`, or amcheck of PostgreSQL, on every table that the workload and the ledger wrote. */
import { isCoded } from '../../foundation/coded-error.ts';
import type { Host } from '../testbed/host.ts';
import type { DatabaseServer } from './database-server.ts';
import { checkPostgresqlTable, listPostgresqlTables } from './postgresql.ts';
import { runSql } from './sql-client.ts';

interface TableResult {
  readonly table: string;
  readonly ok: boolean;
  /** What the server said: "OK", or its complaints. */
  readonly message: string;
}

const tableTimeoutMs = 30 * 60_000;

const listTables = `SELECT CONCAT(table_schema, '.', table_name) FROM information_schema.tables
WHERE table_schema IN ('sbtest', 'tpcc', 'poolshift') AND table_type = 'BASE TABLE' ORDER BY 1`;

/** Rows are (table, "check", message type, message); the last one of a healthy table is (…, "status", "OK"). */
export function judgeTable(table: string, rows: readonly (readonly string[])[]): TableResult {
  const last = rows.at(-1);
  const ok =
    last?.[2] === 'status' && last[3] === 'OK' && !rows.some((row) => row[2]?.toLowerCase() === 'error');
  const messages = rows.map((row) => (row[2] === 'status' ? row[3] : `${row[2] ?? ''}: ${row[3] ?? ''}`));
  return { table, ok, message: messages.length === 0 ? 'no answer' : messages.join('; ') };
}

/** Rows are complaints. */
function judgePostgresqlTable(table: string, rows: readonly (readonly string[])[]): TableResult {
  const messages = rows.slice(0, 10).map((row) => row.join(' '));
  return { table, ok: rows.length === 0, message: rows.length === 0 ? 'OK' : messages.join('; ') };
}

/** What a server says in place of rows; undefined where it said nothing. */
export function judgePostgresqlError(table: string, output: string): TableResult | undefined {
  const message = /ERROR: .*/.exec(output)?.[0];
  return message === undefined ? undefined : { table, ok: false, message };
}

const ways = {
  mysql: { list: listTables, check: (table: string) => `CHECK TABLE ${table}`, judge: judgeTable },
  postgresql: { list: listPostgresqlTables, check: checkPostgresqlTable, judge: judgePostgresqlTable },
};

/**
 * One table at a time, so that a failure names its table. A run without a table is not a healthy one: the caller gets
 * an empty list and must say so.
 * @throws CodedError 'host'
 */
export async function checkTables(client: Host, server: DatabaseServer): Promise<TableResult[]> {
  const results: TableResult[] = [];
  const { list, check, judge } = ways[server.protocol];
  for (const [table = ''] of await runSql(client, server, list)) {
    const result = await runSql(client, server, check(table), { timeoutMs: tableTimeoutMs }).then(
      (rows) => judge(table, rows),
      (error: unknown) => {
        const judged =
          server.protocol === 'postgresql' && isCoded(error, 'host') && error.code === 'command-failed'
            ? judgePostgresqlError(table, error.message)
            : undefined;
        if (judged === undefined) throw error;
        return judged;
      },
    );
    results.push(result);
  }
  return results;
}
