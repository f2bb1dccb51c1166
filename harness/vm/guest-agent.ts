/** The guest agent as the harness knows it: something that must have come up before a run measures anything. */
import { seconds } from '../../foundation/quantity.ts';
import { requestPageList } from '../../engine/list/agent-client.ts';
import type { Host } from '../testbed/host.ts';
import { firstVm, type VmPlace } from './vm-place.ts';

/** An emulated guest on a busy machine needs this long to start a server and to make the first list, and more. */
const firstAnswerTimeoutMs = 120_000;

/**
 * Has the agent make one list, which is dropped, so that the list of the migration is that of an agent which has run for a
 * while. Resolves with what it answered, in words; an agent that cannot is no error here, for engines do without it.
 *
 * @throws CodedError 'host'; the signal's reason when it aborts
 */
export async function waitForAgent(
  host: Host,
  signal: AbortSignal,
  { machine }: VmPlace = firstVm,
): Promise<string> {
  const socket = await host.forwardSocket(machine.paths.agentSocket);
  try {
    const { list, timings } = await requestPageList(socket, {
      firstAnswerTimeoutMs,
      signal,
    });
    return `the guest agent lists ${list.pageCount} pages (${seconds(timings.totalMs)})`;
  } catch (error) {
    signal.throwIfAborted();
    return `the guest agent makes no list: ${error instanceof Error ? error.message : String(error)}`;
  }
}
