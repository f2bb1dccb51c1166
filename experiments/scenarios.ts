/** What sysbench does while the VM migrates. */

/** The paper's three loads. */
export const paperScenarioNames = ['idle', 'ro', 'rw'] as const;
export type PaperScenarioName = (typeof paperScenarioNames)[number];
export const scenarioNames = [...paperScenarioNames, 'tpcc'] as const;
export type ScenarioName = (typeof scenarioNames)[number];

/** sysbench's own, by their names, and our TPC-C (harness/workload/lua/tpcc.lua). */
export type SysbenchWorkload = 'oltp_read_only' | 'oltp_read_write' | 'tpcc';

interface Scenario {
  readonly title: string;
  /** Undefined means that no load runs. */
  readonly sysbenchWorkload: SysbenchWorkload | undefined;
}

export const scenarios: Readonly<Record<ScenarioName, Scenario>> = {
  idle: { title: 'warm pool, no load', sysbenchWorkload: undefined },
  ro: { title: 'sysbench oltp_read_only', sysbenchWorkload: 'oltp_read_only' },
  rw: { title: 'sysbench oltp_read_write', sysbenchWorkload: 'oltp_read_write' },
  tpcc: { title: 'TPC-C', sysbenchWorkload: 'tpcc' },
};
