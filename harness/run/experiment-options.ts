/** What a run is told. */
import type { Configuration } from '../../experiments/configuration.ts';
import type { Shard } from '../../experiments/shard.ts';
import type { Inventory } from '../testbed/inventory/schema.ts';
import type { NewRunEvent, Sample } from '../../record/event.ts';
import type { Manifest } from '../../record/manifest.ts';
import type { Testbed } from '../testbed/host.ts';

/** A lab that several runs have, one after the other. */
export interface RunLab {
  readonly testbed: Testbed;
  /** What its links were found to carry at the run's rate; they are measured where it is left out. */
  readonly goodputBytesPerSecond?: Manifest['goodputBytesPerSecond'];
}

export interface ExperimentOptions {
  readonly configuration: Configuration;
  /** Machines to run on; without it, the local lab. */
  readonly inventory?: Inventory | undefined;
  /** A lab that is up, and stays up, in place of one for this run alone. */
  readonly lab?: RunLab | undefined;
  readonly repeat: number;
  /** Part of a matrix, and name of the hosts: for the record. */
  readonly shard?: Shard | undefined;
  readonly pair?: string | undefined;
  readonly runId: string;
  /** The result folder; must not exist, or be empty. That of a second VM is beside it (record/run-vms.ts). */
  readonly folder: string;
  readonly keep: boolean;
  readonly keepOnFailure: boolean;
  /** What the user ran. */
  readonly owner: string;
  readonly signal: AbortSignal;
  /** With the index of the VM that an event is of, where there are several. */
  readonly onEvent: (event: NewRunEvent, vm?: number) => void;
  /** Of the hosts and of the first VM. */
  readonly onSample?: (sample: Sample) => void;
}
