/** The paper's three loads (digest of its "Testbed" section): what sysbench does while the VM migrates. */
export const scenarioNames = ['idle', 'ro', 'rw'] as const;
export type ScenarioName = (typeof scenarioNames)[number];

export interface Scenario {
  readonly title: string;
  /** sysbench's own name for the workload; undefined means that no load runs. */
  readonly sysbenchWorkload: 'oltp_read_only' | 'oltp_read_write' | undefined;
}

export const scenarios: Readonly<Record<ScenarioName, Scenario>> = {
  idle: { title: 'warm pool, no load', sysbenchWorkload: undefined },
  ro: { title: 'sysbench oltp_read_only', sysbenchWorkload: 'oltp_read_only' },
  rw: { title: 'sysbench oltp_read_write', sysbenchWorkload: 'oltp_read_write' },
};
