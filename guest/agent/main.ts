/**
 * The guest agent's program: `node agent.js [--port PATH]` serves the port; `node agent.js --summary [--repeat N] [--pid
 * PID] [--calibrate]` prints what it would list, without any port; `--calibrate --report` what it finds out of servers' memory.
 * `--without page-cache` (or innodb, or postgresql) looks for no such pages.
 */
import { parseArgs } from 'node:util';
import { agentPortName } from '../../engine/list/agent-protocol.ts';
import { encodePageList } from '../../engine/list/page-list-codec.ts';
import { finderNames, findPrograms } from './finders.ts';
import { InnodbFinder } from './innodb/finder.ts';
import { ServerLayouts } from './innodb/pool-search.ts';
import { reportLayouts } from './innodb/layout-report.ts';
import type { CachingProgram, FoundPages } from './page-finder.ts';
import { GuestError } from './guest-error.ts';
import { listPages } from './list-pages.ts';
import { releaseMemory } from './release-memory.ts';
import { serve } from './serve.ts';
import { Turns } from './turns.ts';
import { VirtioPort } from './virtio-port.ts';
import { warmUp } from './warm-up.ts';

type Find = () => Promise<readonly CachingProgram<FoundPages>[]>;

async function servePort(path: string, find: Find): Promise<never> {
  const turns = new Turns();
  warmUp(find, turns).catch((error: unknown) => {
    console.error(`poolshift agent: warming up failed: ${String(error)}`);
  });
  for (;;) {
    const port = await VirtioPort.open(path, () => {
      console.error(`poolshift agent: waiting for ${path}`);
    });
    console.error(`poolshift agent: serving ${path}`);
    await serve(port, turns, find);
    await port.close();
  }
}

/** One line of JSON for each list. */
async function printSummaries(count: number, pid: number | undefined, find: Find): Promise<void> {
  for (let round = 0; round < count; round++) {
    console.log(JSON.stringify(await summarise(pid, find)));
    releaseMemory();
  }
}

async function summarise(pid: number | undefined, find: Find): Promise<unknown> {
  const cpuStart = process.cpuUsage();
  const programs = (await find()).filter((program) => pid === undefined || program.pid === pid);
  const list = await listPages(programs);
  const encodeStartMs = performance.now();
  const listBytes = encodePageList(list).length;
  const encodeMs = performance.now() - encodeStartMs;
  const cpu = process.cpuUsage(cpuStart);
  return {
    ...list.server,
    leftOut: list.leftOut,
    failures: list.failures,
    sources: list.sources.length,
    pages: list.pageCount,
    runs: list.runs.count.length,
    listBytes,
    timings: { ...list.timings, encodeMs },
    cpuMs: (cpu.user + cpu.system) / 1000,
    peakResidentBytes: process.resourceUsage().maxRSS * 1024,
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: `/dev/virtio-ports/${agentPortName}` },
      summary: { type: 'boolean', default: false },
      repeat: { type: 'string', default: '1' },
      pid: { type: 'string' },
      calibrate: { type: 'boolean', default: false },
      report: { type: 'boolean', default: false },
      without: { type: 'string', multiple: true, default: [] },
    },
  });
  const pid = values.pid === undefined ? undefined : Number(values.pid);
  const unknown = values.without.find((name) => !finderNames.some((known) => known === name));
  if (unknown !== undefined)
    throw new GuestError('internal', `--without ${unknown} is not known; valid: ${finderNames.join(', ')}`);
  const find: Find = () => findPrograms(values.without);
  const calibrating = new InnodbFinder(new ServerLayouts({ usesKnown: false }));
  if (values.report) for (const line of await reportLayouts(pid)) console.log(line);
  else if (values.summary || values.calibrate)
    await printSummaries(Number(values.repeat), pid, values.calibrate ? () => calibrating.programs() : find);
  else await servePort(values.port, find);
}

main().catch((error: unknown) => {
  console.error(`poolshift agent: ${error instanceof GuestError ? error.message : String(error)}`);
  process.exitCode = 1;
});
