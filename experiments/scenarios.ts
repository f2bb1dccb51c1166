/** The paper's three loads (digest of its "Testbed" section): what sysbench does while the VM migrates. */
export const scenarioNames = ['idle', 'ro', 'rw'] as const;
export type ScenarioName = (typeof scenarioNames)[number];

/** By sysbench's own names. */
export type SysbenchWorkload = 'oltp_read_only' | 'oltp_read_write';

interface Scenario {
  readonly title: string;
  /** Undefined means that no load runs. */
  readonly sysbenchWorkload: SysbenchWorkload | undefined;
}

export const scenarios: Readonly<Record<ScenarioName, Scenario>> = {
  idle: { title: 'warm pool, no load', sysbenchWorkload: undefined },
  ro: { title: 'sysbench oltp_read_only', sysbenchWorkload: 'oltp_read_only' },
  rw: { title: 'sysbench oltp_read_write', sysbenchWorkload: 'oltp_read_write' },
};
