/** Runs a command, such as sysbench, and forwards its lines with the time at which they came. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createConnection } from 'node:net';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { LineSplitter } from '../../foundation/line-splitter.ts';
import type { Emit, Probe, ProbeConfig } from './report.ts';
import { nowMs } from './wall-clock.ts';

type LinesConfig = Extract<ProbeConfig, { probe: 'lines' }>;

const connectTimeoutMs = 500;
const tryAgainMs = 250;

export function startLines(config: LinesConfig, emit: Emit): Probe {
  let stopping = false;
  let { child, ended } = runOnce(config, emit);

  const runAgain = async (listener: NonNullable<LinesConfig['restartWhenReachable']>): Promise<void> => {
    for (;;) {
      await ended;
      for (let reachable = false; !reachable; reachable = await isReachable(listener)) {
        if (stopping) return;
        await sleep(tryAgainMs);
      }
      if (stopping) return;
      ({ child, ended } = runOnce(config, emit));
    }
  };
  const listener = config.restartWhenReachable;
  const allEnded = listener === undefined ? ended : runAgain(listener);

  return {
    stop: async () => {
      stopping = true;
      child.kill('SIGTERM');
      const killing = setTimeout(() => child.kill('SIGKILL'), 5000);
      await allEnded;
      clearTimeout(killing);
    },
  };
}

interface Run {
  readonly child: ChildProcess;
  /** Settles when it has ended and its last line is reported. */
  readonly ended: Promise<void>;
}

function runOnce({ name, command: [file, ...args] }: LinesConfig, emit: Emit): Run {
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
  return { child, ended };
}

/** A connection attempt to a machine that is gone would otherwise be repeated ever more seldom. */
function isReachable(to: { readonly host: string; readonly port: number }): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ ...to, timeout: connectTimeoutMs });
    const settle = (reachable: boolean): void => {
      socket.destroy();
      resolve(reachable);
    };
    socket.once('connect', () => {
      settle(true);
    });
    socket.once('timeout', () => {
      settle(false);
    });
    socket.once('error', () => {
      settle(false);
    });
  });
}
