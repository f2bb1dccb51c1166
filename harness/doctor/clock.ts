/** How far a machine's clock is from ours, asked through one open connection. */
import { type ClockOffset, type RoundTrip, estimateOffset } from '../probes/clock.ts';
import { nowMs } from '../probes/wall-clock.ts';
import type { Host } from '../testbed/host.ts';

const questions = 8;

/** @throws Error where the machine stops to answer */
export async function measureOffset(host: Host): Promise<ClockOffset> {
  const clock = host.spawn('while read -r _; do date +%s%N; done');
  const lines = clock.lines[Symbol.asyncIterator]();
  const ask = async (): Promise<RoundTrip> => {
    const sentMs = nowMs();
    clock.write('\n');
    const answer = await lines.next();
    const receivedMs = nowMs();
    if (answer.done === true) throw new Error(`${host.name} does not tell the time`);
    return { sentMs, hostMs: Number(answer.value) / 1e6, receivedMs };
  };
  try {
    // The first one waits for the shell's start.
    const roundTrips: [RoundTrip, ...RoundTrip[]] = [await ask()];
    while (roundTrips.length < questions) roundTrips.push(await ask());
    return estimateOffset(roundTrips);
  } finally {
    await clock.stop();
  }
}
