/** The checks of every run. A failed one makes the run fail; each is recorded with its figures. */
import { milliseconds } from '../../foundation/quantity.ts';
import { isCoded } from '../../foundation/coded-error.ts';
import type { RunLog } from '../../record/run-log.ts';
import { checkFigures } from '../../record/derive/summary.ts';
import type { Host, Testbed } from '../testbed/host.ts';
import type { QmpClient } from '../../qemu/qmp/client.ts';
import type { DatabaseServer } from '../workload/database-server.ts';
import { checkLedger } from '../workload/ledger-check.ts';
import { checkTables } from '../workload/table-check.ts';
import { checkTpcc } from '../workload/tpcc-check.ts';
import { nowMs } from '../probes/wall-clock.ts';
import type { VmPlace } from '../vm/vm-place.ts';
import type { Deploy } from './deploy.ts';
import { compareRam, saidOf } from './ram-comparison.ts';
import { Switchover } from './switchover.ts';

/** The ping probe reports no shorter gap. */
const gapThresholdMs = 20;

/**
 * A source VM that answers nothing for so long was held up by its migration: an emulated guest without a processor to spare
 * was seen to be silent for 1.1 s.
 */
const maxSilentMs = 5000;

/**
 * QEMU stamps its events by its host's clock, and the recorder tells when it read them by a clock that no step moves. Recorded runs have up
 * to 19 ms between the two (`results/`); a clock that was stepped meanwhile shows as less than nothing, or as much more.
 */
const minDelayMs = -5;
const maxDelayMs = 500;

/** What clocks may drift from the line between two measurements, beside what these cannot tell. */
const clockDriftMs = 2;

export class Checks {
  readonly #log: RunLog;
  readonly #failed: string[] = [];
  readonly #switchover: Switchover;
  /** Of the events that a downtime is made of. */
  readonly #delaysMs: number[] = [];

  constructor(log: RunLog, probe: 'ping' | 'heartbeat' = 'ping') {
    this.#log = log;
    this.#switchover = new Switchover(probe);
    log.onEvent((event) => {
      this.#switchover.take(event);
      if (event.event === 'qmp' && ['STOP', 'RESUME'].includes(event.name))
        this.#delaysMs.push(event.delay_ms);
    });
  }

  /** Names of the checks that failed. */
  get failed(): readonly string[] {
    return this.#failed;
  }

  #record(name: string, ok: boolean, detail: string, figures: Readonly<Record<string, number>> = {}): void {
    if (!ok) this.#failed.push(name);
    this.#log.event({ event: 'check', at_ms: nowMs(), name, ok, detail, figures });
  }

  /** An image that a run has used holds ledger rows. */
  freshDisk(rows: readonly (readonly string[])[]): Promise<void> {
    const count = Number(rows[0]?.[0]);
    this.#record('fresh-disk', count === 0, `${count} ledger rows before the run`);
    return Promise.resolve();
  }

  /** The VM runs on exactly one host: dst after a migration that completed, else src. */
  async oneVm(converged: boolean, source: QmpClient, target: QmpClient | undefined): Promise<void> {
    const state = async (qmp: QmpClient | undefined): Promise<string> =>
      (await qmp?.execute('query-status').catch(() => undefined))?.status ?? 'ended';
    const [onSource, onTarget] = [await state(source), await state(target)];
    const ok = converged
      ? onTarget === 'running' && onSource !== 'running'
      : onSource === 'running' && onTarget !== 'running';
    this.#record('one-vm', ok, `src: ${onSource}, dst: ${onTarget}`);
  }

  /** A live migration leaves the VM running until the switchover. */
  sourceAnswers(): void {
    const silentMs = this.#switchover.longestGapBeforeMs ?? 0;
    this.#record(
      'source-answers',
      silentMs <= maxSilentMs,
      silentMs === 0
        ? `never without answer for ${gapThresholdMs} ms before the switchover`
        : `at most ${milliseconds(silentMs, 1)} without answer before the switchover`,
      { silent_ms: silentMs },
    );
  }

  /** A load that ended by itself has ended the run with it (run-watch.ts). */
  loadRan(): void {
    this.#record('load', true, 'sysbench ran until the end');
  }

  /** A clock that is stepped in mid-run makes a downtime of any length. */
  clocks(): void {
    const [least, most] = [Math.min(...this.#delaysMs, 0), Math.max(...this.#delaysMs, 0)];
    this.#record(
      'clocks',
      least >= minDelayMs && most <= maxDelayMs,
      `QEMU's events were read ${milliseconds(least, 1)} to ${milliseconds(most, 1)} after their time: beyond ${minDelayMs} to ${maxDelayMs} ms a host's clock was stepped`,
    );
  }

  /** A client cannot have been without answer for less time than no VM ran. */
  clientGap(): void {
    const { downtime, longestGapMs } = this.#switchover;
    if (downtime === undefined) {
      this.#record(
        'client-gap',
        false,
        'no VM was seen to stop at the source, or none to start at the target',
      );
      return;
    }
    this.#record(
      'client-gap',
      (longestGapMs ?? gapThresholdMs) + clockDriftMs + downtime.uncertaintyMs >= downtime.ms,
      `client without answer for ${longestGapMs?.toFixed(1) ?? `less than ${gapThresholdMs}`} ms, no VM ran for ${milliseconds(downtime.ms, 1)}`,
    );
  }

  async ledger(client: Host, server: DatabaseServer, file: string): Promise<void> {
    const ledger = await this.#orNoAnswer(checkFigures.ledger, checkLedger(client, server, file));
    if (ledger === undefined) return;
    const { acknowledged, lost, firstLost } = ledger;
    this.#record(
      checkFigures.ledger,
      lost === 0 && acknowledged > 0,
      `${acknowledged} commits acknowledged, ${lost} lost${firstLost === undefined ? '' : `, first ${firstLost}`}`,
      { acknowledged, lost },
    );
  }

  async tables(client: Host, server: DatabaseServer, sysbenchTables: number): Promise<void> {
    const results = await this.#orNoAnswer(checkFigures.tables, checkTables(client, server));
    if (results === undefined) return;
    const bad = results.filter((result) => !result.ok);
    this.#record(
      checkFigures.tables,
      bad.length === 0 && results.length >= sysbenchTables + 1,
      bad.length === 0
        ? `${results.length} tables`
        : bad.map(({ table, message }) => `${table}: ${message}`).join('; '),
    );
  }

  /** TPC-C's consistency conditions, when the load has ended. */
  async tpcc(client: Host, server: DatabaseServer): Promise<void> {
    const broken = await this.#orNoAnswer('tpcc', checkTpcc(client, server));
    if (broken === undefined) return;
    const detail =
      broken.length === 0
        ? 'consistency conditions 1 to 4 hold'
        : broken
            .map(({ condition, districts }) => `condition ${condition} does not hold at ${districts}`)
            .join('; ');
    this.#record('tpcc', broken.length === 0, detail);
  }

  /** A server that is gone fails the check, and the others still say what they can. */
  async #orNoAnswer<Result>(name: string, asking: Promise<Result>): Promise<Result | undefined> {
    try {
      return await asking;
    } catch (error) {
      if (!isCoded(error, 'host') || error.code !== 'command-failed') throw error;
      const reason = error.message.split('\n').at(-1) ?? '';
      this.#record(name, false, `not checked: the database server does not answer (${reason})`);
      return undefined;
    }
  }

  async ram(testbed: Testbed, deploy: Deploy, log: (line: string) => void, vm: VmPlace): Promise<void> {
    const compared = await compareRam(testbed, deploy, log, vm);
    const { pages_compared, pages_differing } = compared;
    this.#record(checkFigures.ram, pages_differing === 0, saidOf(compared), {
      pages_compared,
      pages_differing,
    });
  }
}
