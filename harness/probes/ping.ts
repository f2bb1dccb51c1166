/**
 * Client downtime on the network: the gaps between ping replies, timed by fping's own `-D` timestamps. fping and not
 * iputils' ping, because the latter spins between requests when they are less than 10 ms apart: it takes a whole core.
 */
import { spawn } from 'node:child_process';
import { GapTracker } from './gap-tracker.ts';
import { LineSplitter } from '../../foundation/line-splitter.ts';
import type { Emit, Probe, ProbeConfig } from './report.ts';
import { nowMs } from './wall-clock.ts';

/** A reply that comes later than this counts as lost. */
const replyTimeoutMs = 5000;

/**
 * Time at which a reply came, in ms since the epoch; undefined for any other line. A reply is
 * `[1795544943.45475] 10.0.0.1 : [194], 64 bytes, 0.036 ms (0.028 avg, 0% loss)`.
 */
export function parseReplyMs(line: string): number | undefined {
  const match = /^\[(\d+\.\d+)\] \S+ +: \[\d+\], \d+ bytes, /.exec(line);
  return match === null ? undefined : Number(match[1]) * 1000;
}

function fpingArguments(address: string, intervalMs: number): string[] {
  // Loop for ever with timestamps; `-i` is the shortest time between any two requests, which would hold `-p` back.
  return ['-l', '-D', '-i', '1', '-p', String(intervalMs), '-t', String(replyTimeoutMs), address];
}

export function startPing(config: Extract<ProbeConfig, { probe: 'ping' }>, emit: Emit): Probe {
  const tracker = new GapTracker(config.thresholdMs ?? 20);
  const lines = new LineSplitter();
  const child = spawn('fping', fpingArguments(config.address, config.intervalMs ?? 5), {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stopping = false;
  let answersReported = 0;
  let errors = '';

  child.stdout.on('data', (chunk: Buffer) => {
    for (const line of lines.push(chunk)) {
      const replyMs = parseReplyMs(line);
      if (replyMs === undefined) continue;
      const gap = tracker.answer(replyMs);
      if (gap !== undefined) emit({ report: 'gap', at: gap.toMs, probe: 'ping', ...gap, open: false });
    }
  });
  child.stderr.on('data', (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-1000)));

  const timer = setInterval(() => {
    emit({ report: 'answers', at: nowMs(), probe: 'ping', answers: tracker.answers - answersReported });
    answersReported = tracker.answers;
  }, 1000);

  const ended = new Promise<void>((resolve) => {
    child.once('error', (error) => (errors = error.message));
    child.once('close', (exitCode) => {
      clearInterval(timer);
      const at = nowMs();
      const open = tracker.openGap(at);
      if (open !== undefined) emit({ report: 'gap', at, probe: 'ping', ...open, open: true });
      emit({
        report: 'probe-ended',
        at,
        probe: 'ping',
        answers: tracker.answers,
        longestGapMs: tracker.longestGapMs,
      });
      if (!stopping) {
        const message = `fping ended with ${exitCode ?? 'a signal'}: ${errors.trim()}`;
        emit({ report: 'failed', at, probe: 'ping', message });
      }
      resolve();
    });
  });

  return {
    stop: async () => {
      stopping = true;
      child.kill('SIGINT');
      await ended;
    },
  };
}
