/** The guest agent's program. */
import { encodePageList } from '../../engine/list/page-list-codec.ts';
import { type Arguments, help, parseArguments } from './arguments.ts';
import { findPrograms, type FoundPrograms } from './finders.ts';
import { InnodbFinder } from './innodb/finder.ts';
import { ServerLayouts } from './innodb/pool-search.ts';
import { reportLayouts } from './innodb/layout-report.ts';
import { GuestError } from './guest-error.ts';
import { endWhenHeld, withoutHolders } from './hang-watch.ts';
import { listPages } from './list-pages.ts';
import { releaseMemory, releaseMuch } from './release-memory.ts';
import { serve } from './serve.ts';
import { Turns } from './turns.ts';
import { VirtioPort } from './virtio-port.ts';
import { warmUp } from './warm-up.ts';

type Find = () => Promise<FoundPrograms>;

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
  const { programs, failures } = await find();
  const asked = programs.filter((program) => pid === undefined || program.pid === pid);
  const list = await listPages(asked, failures);
  releaseMuch();
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
    coldPages: list.runs.count.subarray(list.runs.firstColdRun).reduce((sum, count) => sum + count, 0),
    heatUnknown: list.heatUnknown,
    runs: list.runs.count.length,
    listBytes,
    timings: { ...list.timings, encodeMs },
    cpuMs: (cpu.user + cpu.system) / 1000,
    peakResidentBytes: process.resourceUsage().maxRSS * 1024,
  };
}

async function run({ port, without, repeat, pid, does }: Arguments): Promise<void> {
  const find: Find = () => findPrograms(without);
  switch (does) {
    case 'help':
      console.log(help);
      break;
    case 'report':
      for (const line of await reportLayouts(pid)) console.log(line);
      break;
    case 'calibrate': {
      const calibrating = new InnodbFinder(new ServerLayouts({ usesKnown: false }));
      await printSummaries(repeat, pid, async () => ({
        programs: await calibrating.programs(),
        failures: [],
      }));
      break;
    }
    case 'summary':
      await printSummaries(repeat, pid, find);
      break;
    case 'serve':
      endWhenHeld();
      await servePort(port, async () => withoutHolders(await find()));
  }
}

async function main(): Promise<void> {
  let given: Arguments;
  try {
    given = parseArguments(process.argv.slice(2));
  } catch (error) {
    console.error(`poolshift agent: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 2;
    return;
  }
  await run(given);
}

main().catch((error: unknown) => {
  console.error(`poolshift agent: ${error instanceof GuestError ? error.message : String(error)}`);
  process.exitCode = 1;
});
