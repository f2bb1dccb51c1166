/** Runs a command, such as sysbench, and forwards its lines with the time at which they came. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createConnection } from 'node:net';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { LineSplitter } from '../../foundation/line-splitter.ts';
import type { Emit, Probe, ProbeConfig, ProbeReport } from './report.ts';
import { nowMs } from './wall-clock.ts';

type EndKind = Extract<ProbeReport, { report: 'exit' }>['end'];
type LinesConfig = Extract<ProbeConfig, { probe: 'lines' }>;

const connectTimeoutMs = 500;
const tryAgainMs = 250;

export function startLines(config: LinesConfig, emit: Emit): Probe {
  const { restart } = config;
  let stopping = false;

  /** @param itSaid whether it has printed what it is started again after */
  const kindOf = (itSaid: boolean): EndKind => {
    if (stopping) return 'asked';
    return restart !== undefined && itSaid ? 'again' : 'by-itself';
  };
  let { child, ended } = runOnce(config, emit, kindOf);

  const runAgain = async (): Promise<void> => {
    while ((await ended) === 'again' && restart !== undefined) {
      for (let reachable = false; !reachable; reachable = await isReachable(restart)) {
        if (stopping) return;
        await sleep(tryAgainMs);
      }
      if (stopping) return;
      ({ child, ended } = runOnce(config, emit, kindOf));
    }
  };
  const allEnded = runAgain();

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
  readonly ended: Promise<EndKind>;
}

function runOnce(
  { name, command: [file, ...args], restart }: LinesConfig,
  emit: Emit,
  kindOf: (itSaid: boolean) => EndKind,
): Run {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let itSaid = restart?.ifItSaid === undefined;

  const forward = (source: Readable, stream: 'stdout' | 'stderr'): void => {
    const lines = new LineSplitter();
    const report = (text: string): void => {
      if (restart?.ifItSaid !== undefined && text.includes(restart.ifItSaid)) itSaid = true;
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
  const ended = new Promise<EndKind>((resolve) => {
    child.once('close', (exitCode, signal) => {
      const end = kindOf(itSaid);
      emit({ report: 'exit', at: nowMs(), name, exitCode, signal, end });
      resolve(end);
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
