/** Answers requests that come over the port, one at a time. */
import {
  type AgentRequest,
  type AnswerHeader,
  formatAnswer,
  RequestReader,
} from '../../engine/list/agent-protocol.ts';
import { encodePageList } from '../../engine/list/page-list-codec.ts';
import { Deadline, listMs } from './deadline.ts';
import { findPrograms, type FoundPrograms } from './finders.ts';
import { GuestError } from './guest-error.ts';
import type { ListFailure } from '../../engine/list/page-list.ts';
import { failureOf } from './list-failure.ts';
import { listPages } from './list-pages.ts';
import { pageCacheBytes, parseMeminfo } from './meminfo.ts';
import type { CachingProgram, FoundPages } from './page-finder.ts';
import { releaseMemory, releaseMuch } from './release-memory.ts';
import { readProc } from './safe-files.ts';
import type { Turns } from './turns.ts';

const agentVersion = '1';

/** A way to the host. */
export interface Channel {
  /** The next bytes. Waits while the host's end is closed; ends with undefined when the channel is gone. */
  read(): Promise<Uint8Array | undefined>;
  write(bytes: Uint8Array): Promise<void>;
}

/**
 * Serves until the channel is gone. A request that fails is answered with its error; it never ends the service.
 * Whatever else looks for programs and lists their pages takes its turn in `turns`.
 */
export async function serve(
  channel: Channel,
  turns: Turns,
  find: () => Promise<FoundPrograms> = findPrograms,
): Promise<void> {
  const reader = new RequestReader();
  for (;;) {
    const chunk = await channel.read();
    if (chunk === undefined) return;
    for (const request of reader.push(chunk)) {
      // At once, so that the host can tell an agent that works from one that is not there.
      await channel.write(formatAnswer(request.id, { status: 'working' }));
      // The host waits from now on, also for a turn.
      const deadline = new Deadline(listMs);
      for (const bytes of await turns.take(() => answer(request, find, deadline))) await channel.write(bytes);
      releaseMemory();
    }
  }
}

async function answer(
  request: AgentRequest,
  find: () => Promise<FoundPrograms>,
  deadline: Deadline,
): Promise<readonly Uint8Array[]> {
  try {
    if (request.request === 'status') return [formatAnswer(request.id, await describeAgent(find))];
    const startMs = performance.now();
    const { programs, failures } = await find();
    const servers = programs.filter(({ isKernel }) => isKernel !== true);
    const notWritten = request.clean === 'checkpoint' ? await writeDirtyPages(servers) : [];
    const cleanMs = request.clean === 'checkpoint' ? performance.now() - startMs : 0;
    const found = await listPages(programs, [...failures, ...notWritten], {
      deadline,
      hotFirst: request.hotFirst,
    });
    releaseMuch();
    const list = encodePageList(found);
    const totalMs = performance.now() - startMs;
    return [formatAnswer(request.id, { status: 'list', byteLength: list.length, cleanMs, totalMs }), list];
  } catch (error) {
    return [formatAnswer(request.id, describeError(error))];
  }
}

/**
 * All at once, so that one that does not answer holds nobody up.
 * @returns what could not be told to: its pages are listed as they are
 * @throws GuestError if none of them could be told to
 */
async function writeDirtyPages(
  programs: readonly CachingProgram<FoundPages>[],
): Promise<readonly ListFailure[]> {
  const ends = await Promise.allSettled(programs.map((program) => program.writeDirtyPages()));
  const [failure] = ends.filter((end) => end.status === 'rejected');
  if (failure !== undefined && !ends.some(({ status }) => status === 'fulfilled')) throw failure.reason;
  return programs.flatMap((program, index) => {
    const end = ends[index];
    return end?.status === 'rejected' ? [failureOf(program.description, end.reason)] : [];
  });
}

async function describeAgent(find: () => Promise<FoundPrograms>): Promise<AnswerHeader> {
  return {
    status: 'agent',
    agent: {
      agentVersion,
      nodeVersion: process.version,
      residentBytes: process.memoryUsage().rss,
      pageCacheBytes: pageCacheBytes(parseMeminfo(readProc('/proc/meminfo'))),
      servers: (await find()).programs.flatMap(({ description, isKernel }) =>
        isKernel ? [] : [description],
      ),
    },
  };
}

function describeError(error: unknown): AnswerHeader {
  if (error instanceof GuestError) return { status: 'error', code: error.code, message: error.message };
  const message = error instanceof Error ? error.message : String(error);
  return { status: 'error', code: 'internal', message };
}
