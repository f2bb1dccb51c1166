/** What the agent's program is asked to do. Pure. */
import { parseArgs } from 'node:util';
import { agentPortName } from '../../engine/list/agent-protocol.ts';
import { finderNames } from './finders.ts';

export const help = `Usage: poolshift-agent [options]

Tells the host which pages of this guest's memory are copies of blocks on its disk.

  --port PATH     serve this port (default: /dev/virtio-ports/${agentPortName})
  --without NAME  look for no such pages: ${finderNames.join(', ')}; repeatable
  --summary       print what would be listed, a JSON object a line, and end; without any port
  --repeat N      that many times
  --pid PID       of this server alone
  --calibrate     the same without known layouts of servers
  --report        with --calibrate: what is found in servers' memory, as distances, bits and counts
  --help          this text

Exit codes: 0 done, 1 failed, 2 wrong option.`;

export interface Arguments {
  readonly port: string;
  readonly without: readonly string[];
  readonly repeat: number;
  readonly pid: number | undefined;
  readonly does: 'serve' | 'summary' | 'calibrate' | 'report' | 'help';
}

/** @throws Error that says what is wrong */
export function parseArguments(args: readonly string[]): Arguments {
  const { values } = parseArgs({
    args: [...args],
    options: {
      port: { type: 'string', default: `/dev/virtio-ports/${agentPortName}` },
      summary: { type: 'boolean', default: false },
      repeat: { type: 'string', default: '1' },
      pid: { type: 'string' },
      calibrate: { type: 'boolean', default: false },
      report: { type: 'boolean', default: false },
      without: { type: 'string', multiple: true, default: [] },
      help: { type: 'boolean', default: false },
    },
  });
  const { port, without, summary, calibrate, report } = values;
  const unknown = without.find((name) => !finderNames.some((known) => known === name));
  if (unknown !== undefined)
    throw new Error(`--without ${unknown} is not known; valid: ${finderNames.join(', ')}`);
  const positive = (name: string, text: string): number => {
    if (!/^[1-9]\d{0,8}$/.test(text)) throw new Error(`--${name} ${text}: a whole number from 1 on`);
    return Number(text);
  };
  const repeat = positive('repeat', values.repeat);
  const pid = values.pid === undefined ? undefined : positive('pid', values.pid);
  if (report && !calibrate) throw new Error('--report goes with --calibrate');
  if (values.help) return { port, without, repeat, pid, does: 'help' };
  const printed = calibrate ? 'calibrate' : summary ? 'summary' : 'serve';
  return { port, without, repeat, pid, does: report ? 'report' : printed };
}
