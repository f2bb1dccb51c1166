/** Turns what recorders report into events and samples. */
import type { ProbeReport } from '../probes/report.ts';
import { percentileMs, percentiles } from '../../record/latency.ts';
import { SysbenchOutput, type SysbenchSecond } from '../workload/sysbench.ts';
import type { HostName, Log } from '../../record/event.ts';

/** The name under which the `lines` probe runs sysbench. */
export const sysbenchName = 'sysbench';

/** Samples of `query-migrate`, by QEMU's name of the figure. */
const migrationMetrics: Readonly<Record<string, string>> = {
  'ram.remaining': 'ram_remaining_bytes',
  'ram.transferred': 'ram_transferred_bytes',
  'ram.total': 'ram_total_bytes',
  'ram.duplicate': 'ram_zero_pages',
  'ram.normal': 'ram_normal_pages',
  'ram.dirty-pages-rate': 'dirty_pages_per_second',
  'ram.dirty-sync-count': 'dirty_sync_count',
  'expected-downtime': 'migration_expected_downtime_ms',
  'total-time': 'migration_total_time_ms',
};

export class Intake {
  readonly #log: Log;
  readonly #lastStatus = new Map<HostName, string>();
  #sysbench = new SysbenchOutput();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Takes the next report of a host's recorder. */
  take(host: HostName, report: ProbeReport): void {
    const log = this.#log;
    const at_ms = report.at;
    const sample = (metric: string, value: number, atMs = at_ms): void => {
      log.sample({ at_ms: atMs, host, metric, value });
    };
    switch (report.report) {
      case 'clock':
        return; // recorder-process.ts keeps these
      case 'nic':
        for (const [network, { inBytes, outBytes }] of Object.entries(report.networks)) {
          sample(`nic_in_bytes:${network}`, inBytes);
          sample(`nic_out_bytes:${network}`, outBytes);
        }
        return;
      case 'qmp-event': {
        const { name, data } = report;
        log.event({ event: 'qmp', at_ms, host, name, data, delay_ms: report.receivedAt - at_ms });
        return;
      }
      case 'migration':
        this.#takeMigration(host, report);
        return;
      case 'gap': {
        const { probe, fromMs, gapMs, open } = report;
        sample(probe === 'ping' ? 'client_gap_ms' : 'heartbeat_gap_ms', gapMs, fromMs);
        log.event({ event: 'probe-gap', at_ms: fromMs, host, probe, gap_ms: gapMs, open });
        return;
      }
      case 'answers':
        sample(`${report.probe}_answers`, report.answers);
        if (report.clock !== undefined) {
          sample('guest_clock_offset_ms', report.clock.offsetMs);
          sample('guest_clock_uncertainty_ms', report.clock.uncertaintyMs);
        }
        return;
      case 'ledger':
        sample('ledger_acknowledged', report.acknowledged);
        sample('ledger_unknown', report.unknown);
        return;
      case 'connection': {
        const { probe, state, detail } = report;
        log.event({ event: 'connection', at_ms, host, probe, state, detail });
        return;
      }
      case 'line':
        this.#takeLine(host, report);
        return;
      case 'exit': {
        const { exitCode: exit_code, signal, name, end } = report;
        if (name === sysbenchName) {
          const figures = { ...this.#sysbench.totals };
          log.event({ event: 'workload-ended', at_ms, host, exit_code, signal, end, figures });
          this.#sysbench = new SysbenchOutput();
        } else {
          const text = `${name} ended with ${exit_code ?? signal ?? 'no status'}`;
          log.event({ event: 'note', at_ms, host, text });
        }
        return;
      }
      case 'load':
        sample('cpu_percent', report.cpuPercent);
        sample('mem_available_bytes', report.memAvailableBytes);
        for (const [name, { cpuMs, rssBytes }] of Object.entries(report.processes)) {
          sample(`process_cpu_ms:${name}`, cpuMs);
          sample(`process_rss_bytes:${name}`, rssBytes);
        }
        return;
      case 'dropped':
        log.event({ event: 'note', at_ms, host, text: `the recorder left out ${report.reports} reports` });
        return;
      case 'probe-ended': {
        const { probe, answers, longestGapMs: longest_gap_ms } = report;
        log.event({ event: 'probe-ended', at_ms, host, probe, answers, longest_gap_ms });
        return;
      }
      case 'failed':
        log.event({ event: 'note', at_ms, host, text: `probe ${report.probe} failed: ${report.message}` });
    }
  }

  #takeMigration(host: HostName, report: Extract<ProbeReport, { report: 'migration' }>): void {
    const { at: at_ms, status, figures, error } = report;
    for (const [name, metric] of Object.entries(migrationMetrics)) {
      const value = figures[name];
      if (value !== undefined) this.#log.sample({ at_ms, host, metric, value });
    }
    const megabits = figures['ram.mbps'];
    if (megabits !== undefined) {
      this.#log.sample({ at_ms, host, metric: 'migration_bits_per_second', value: megabits * 1e6 });
    }
    if (this.#lastStatus.get(host) === status) return;
    this.#lastStatus.set(host, status);
    this.#log.event({
      event: 'migration-status',
      at_ms,
      host,
      status,
      figures,
      ...(error === undefined ? {} : { error }),
    });
  }

  #takeLine(host: HostName, report: Extract<ProbeReport, { report: 'line' }>): void {
    const { at: at_ms, name, stream, text } = report;
    const said = name === sysbenchName && stream === 'stdout' ? this.#sysbench.push(text) : undefined;
    switch (said?.kind) {
      case undefined:
        if (text.trim() !== '') this.#log.event({ event: 'output', at_ms, host, name, stream, text });
        return;
      case 'connection': {
        const { state, thread, errno } = said;
        const detail = `thread ${thread}${state === 'lost' ? `, error ${errno}` : ''}`;
        this.#log.event({ event: 'connection', at_ms, host, probe: name, state, detail });
        return;
      }
      case 'second':
        this.#takeSecond(host, at_ms, said);
    }
  }

  #takeSecond(host: HostName, at_ms: number, second: SysbenchSecond): void {
    const { open, latencies } = second;
    const values: Record<string, number> = {
      tps: second.tps,
      qps: second.qps,
      read_qps: second.readQps,
      write_qps: second.writeQps,
      errors_per_second: second.errorsPerSecond,
      reconnects_per_second: second.reconnectsPerSecond,
      ...(open === undefined ? {} : { offered_tps: open.offeredTps, queued_transactions: open.queued }),
    };
    if (latencies.length > 0 || second.tps === 0)
      for (const percent of percentiles)
        values[`latency_p${percent}_ms`] = percentileMs(latencies, percent) ?? 0;
    for (const [metric, value] of Object.entries(values)) this.#log.sample({ at_ms, host, metric, value });
    for (const { ms, transactions } of latencies) {
      this.#log.sample({ at_ms, host, metric: 'latency_ms', value: ms });
      this.#log.sample({ at_ms, host, metric: 'latency_transactions', value: transactions });
    }
  }
}
