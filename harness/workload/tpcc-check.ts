/** After a run with TPC-C: are its consistency conditions kept? (TPC-C specification, clauses 3.3.2.1 to 3.3.2.4) */
import type { Host } from '../testbed/host.ts';
import type { DatabaseServer } from './database-server.ts';
import { runSql } from './sql-client.ts';

/** Tables of the schema `tpcc`. */
export const tpccTables = 9;

/** Each gives the warehouses, or warehouses and districts, at which its condition does not hold. */
const conditions: readonly string[] = [
  // 1. A warehouse has taken in what its districts have.
  `SELECT w_id FROM tpcc.warehouse
  LEFT JOIN (SELECT d_w_id, SUM(d_ytd) AS ytd FROM tpcc.district GROUP BY d_w_id) AS d ON d_w_id = w_id
  WHERE NOT (w_ytd <=> ytd)`,
  // 2. The next order's number follows the last one, which is that of the last new order where there is one.
  `SELECT d_w_id, d_id FROM tpcc.district
  LEFT JOIN (SELECT o_w_id, o_d_id, MAX(o_id) AS last FROM tpcc.orders GROUP BY o_w_id, o_d_id) AS o
    ON o_w_id = d_w_id AND o_d_id = d_id
  LEFT JOIN (SELECT no_w_id, no_d_id, MAX(no_o_id) AS last FROM tpcc.new_order GROUP BY no_w_id, no_d_id) AS n
    ON no_w_id = d_w_id AND no_d_id = d_id
  WHERE NOT (d_next_o_id - 1 <=> o.last) OR n.last <> o.last`,
  // 3. The numbers of the new orders have no gap.
  `SELECT no_w_id, no_d_id FROM tpcc.new_order GROUP BY no_w_id, no_d_id
  HAVING MAX(no_o_id) - MIN(no_o_id) + 1 <> COUNT(*)`,
  // 4. There are as many order lines as the orders say.
  `SELECT o_w_id, o_d_id
  FROM (SELECT o_w_id, o_d_id, SUM(o_ol_cnt) AS said FROM tpcc.orders GROUP BY o_w_id, o_d_id) AS o
  LEFT JOIN (SELECT ol_w_id, ol_d_id, COUNT(*) AS there FROM tpcc.order_line GROUP BY ol_w_id, ol_d_id) AS l
    ON ol_w_id = o_w_id AND ol_d_id = o_d_id
  WHERE NOT (said <=> there)`,
];

/** An emulated guest reads millions of order lines for the last one. */
const timeoutMs = 30 * 60_000;

interface BrokenCondition {
  /** 1 to 4. */
  readonly condition: number;
  /** "1/3, 1/7": warehouse and district of each. */
  readonly districts: string;
}

/** Empty if all hold. @throws CodedError 'host' */
export async function checkTpcc(client: Host, server: DatabaseServer): Promise<BrokenCondition[]> {
  const broken: BrokenCondition[] = [];
  for (const [index, condition] of conditions.entries()) {
    const rows = await runSql(client, server, condition, { timeoutMs });
    if (rows.length > 0)
      broken.push({ condition: index + 1, districts: rows.map((row) => row.join('/')).join(', ') });
  }
  return broken;
}
