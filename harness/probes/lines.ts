/** Runs a command, such as sysbench, and forwards its lines with the time at which they came. */
import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { LineSplitter } from './line-splitter.ts';
import type { Emit, Probe, ProbeConfig } from './report.ts';
import { nowMs } from './wall-clock.ts';

export function startLines(config: Extract<ProbeConfig, { probe: 'lines' }>, emit: Emit): Probe {
  const { name } = config;
  const [file, ...args] = config.command;
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });

  const forward = (source: Readable, stream: 'stdout' | 'stderr'): void => {
    const lines = new LineSplitter();
    const report = (text: string): void => {
      emit({ report: 'line', at: nowMs(), name, stream, text });
    };
    source.on('data', (chunk: Buffer) => {
      lines.push(chunk).forEach(report);
    });
    source.on('end', () => {
      lines.end().forEach(report);
    });
  };
  forward(child.stdout, 'stdout');
  forward(child.stderr, 'stderr');

  child.once('error', (error) => {
    emit({ report: 'failed', at: nowMs(), probe: name, message: error.message });
  });
  // Comes after 'error' too, with a negative exit code, when the command could not be started.
  const ended = new Promise<void>((resolve) => {
    child.once('close', (exitCode, signal) => {
      emit({ report: 'exit', at: nowMs(), name, exitCode, signal });
      resolve();
    });
  });

  return {
    stop: async () => {
      child.kill('SIGTERM');
      const killing = setTimeout(() => child.kill('SIGKILL'), 5000);
      await ended;
      clearTimeout(killing);
    },
  };
}
