/** The harness's end of a recorder: starts it on a host, reads its reports and measures the host's clock. */
import { CodedError } from '../../foundation/coded-error.ts';
import type { Host } from '../testbed/host.ts';
import { quote } from '../../foundation/shell.ts';
import { estimateOffset, type ClockOffset, type RoundTrip } from './clock.ts';
import { reportSchema, type ProbeConfig, type ProbeReport, type RecorderConfig } from './report.ts';
import { nowMs } from './wall-clock.ts';

export interface Recorder {
  /**
   * Measures the host's clock against ours (wall-clock.ts).
   * @throws CodedError 'recorder'
   */
  measureClock(): Promise<ClockOffset>;
  /** Ends the probes in good order; their last reports have arrived when this settles. Never rejects. */
  stop(): Promise<void>;
  /** Settles when the recorder has ended and all reports have been delivered; tells why if it ended unasked. */
  readonly ended: Promise<CodedError<'recorder'> | undefined>;
}

/** For the clock: the quickest answer counts. */
const clockQuestions = 20;
const answerTimeoutMs = 5000;
/** Probes get this long to end in good order: a ledger waits 2 s for its last commit, sysbench 5 s to be ended. */
const stopTimeoutMs = 10_000;

function recorderCommand(config: RecorderConfig, path: string): string {
  return `exec node ${path} ${quote(JSON.stringify(config))}`;
}

/**
 * Starts probes on a host; `path` is where the host has the bundled recorder (bundle.ts). `onReport` gets every report
 * but the clock's, in order.
 */
export function startRecorder(
  host: Host,
  probes: readonly ProbeConfig[],
  onReport: (report: ProbeReport) => void,
  path: string,
): Recorder {
  const child = host.spawn(recorderCommand({ probes }, path));
  const waiting = new Map<number, (hostMs: number) => void>();
  let nextId = 1;
  let stopping = false;

  const read = async (): Promise<CodedError<'recorder'> | undefined> => {
    let bad: CodedError<'recorder'> | undefined;
    for await (const line of child.lines) {
      const report = parseReport(line);
      if (report === undefined)
        bad ??= new CodedError('recorder', 'bad-report', `${host.name}: not a report: ${line.slice(0, 200)}`);
      else if (report.report === 'clock') waiting.get(report.id)?.(report.at);
      else onReport(report);
    }
    const { exitCode, stderrTail } = await child.ended;
    if (bad !== undefined) return bad;
    if (stopping) return undefined;
    return new CodedError(
      'recorder',
      'ended',
      `recorder on ${host.name} ended with ${exitCode ?? 'a signal'}: ${stderrTail}`,
    );
  };
  const ended = read();

  const roundTrip = async (): Promise<RoundTrip> => {
    const id = nextId++;
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<RoundTrip>((resolve, reject) => {
        const sentMs = nowMs();
        waiting.set(id, (hostMs) => {
          resolve({ sentMs, hostMs, receivedMs: nowMs() });
        });
        timer = setTimeout(() => {
          reject(new CodedError('recorder', 'no-answer', `recorder on ${host.name} did not tell its time`));
        }, answerTimeoutMs);
        void ended.then((error) => {
          reject(error ?? new CodedError('recorder', 'ended', `recorder on ${host.name} has ended`));
        });
        child.write(`{"clock": ${id}}\n`);
      });
    } finally {
      clearTimeout(timer);
      waiting.delete(id);
    }
  };

  return {
    ended,
    measureClock: async () => {
      const measured: [RoundTrip, ...RoundTrip[]] = [await roundTrip()];
      while (measured.length < clockQuestions) measured.push(await roundTrip());
      return estimateOffset(measured);
    },
    stop: async () => {
      stopping = true;
      child.closeInput();
      const timer = setTimeout(() => void child.stop(), stopTimeoutMs);
      await ended;
      clearTimeout(timer);
    },
  };
}

function parseReport(line: string): ProbeReport | undefined {
  try {
    return reportSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}
