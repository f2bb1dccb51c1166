/**
 * The recorder: runs on a host with the probes that its one argument, a RecorderConfig as JSON, names. Prints reports
 * (report.ts) as JSON lines, answers `{"clock": id}` lines, and ends in good order when its standard input ends.
 */
import { startHeartbeat } from './heartbeat.ts';
import { startLedger } from './ledger.ts';
import { LineSplitter } from '../../foundation/line-splitter.ts';
import { startLines } from './lines.ts';
import { startLoad } from './load.ts';
import { startNic } from './nic.ts';
import { openStandardOutput, ReportOutput } from './output.ts';
import { startPing } from './ping.ts';
import { startQmp } from './qmp.ts';
import type { Emit, Probe, ProbeConfig, RecorderConfig } from './report.ts';
import { nowMs } from './wall-clock.ts';

function start(config: ProbeConfig, emit: Emit): Probe {
  switch (config.probe) {
    case 'nic':
      return startNic(config, emit);
    case 'qmp':
      return startQmp(config, emit);
    case 'ping':
      return startPing(config, emit);
    case 'heartbeat':
      return startHeartbeat(config, emit);
    case 'ledger':
      return startLedger(config, emit);
    case 'lines':
      return startLines(config, emit);
    case 'load':
      return startLoad(config, emit);
  }
}

function answerClock(line: string, emit: Emit): void {
  const at = nowMs();
  const id = /^\{"clock":\s*(\d+)\}\s*$/.exec(line)?.[1];
  if (id !== undefined) emit({ report: 'clock', at, id: Number(id) });
}

const stream = openStandardOutput();
const output = new ReportOutput(stream);
const { probes } = JSON.parse(process.argv[2] ?? '{"probes":[]}') as RecorderConfig;
const running = probes.map((probe) => start(probe, output.emit));

let ending = false;
async function end(): Promise<void> {
  if (ending) return;
  ending = true;
  await Promise.all(running.map((probe) => probe.stop()));
  await output.end();
  process.exit();
}

const lines = new LineSplitter();
process.stdin.on('data', (chunk: Buffer) => {
  for (const line of lines.push(chunk)) answerClock(line, output.emit);
});
process.stdin.on('end', () => void end());
process.stdin.on('error', () => void end());
// The reader is gone: nothing can be said any more, and the children must not stay.
stream.on('error', () => void end());
process.on('SIGTERM', () => void end());
