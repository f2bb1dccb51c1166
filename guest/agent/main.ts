/**
 * The guest agent's program: `node agent.cjs [--port PATH]` serves the port, `node agent.cjs --summary` prints what it
 * would list, without any port.
 */
import { parseArgs } from 'node:util';
import { agentPortName } from '../../engine/pages/agent-protocol.ts';
import { encodePageList } from '../../engine/pages/page-list-codec.ts';
import { findPrograms } from './finders.ts';
import { GuestError } from './guest-error.ts';
import { listPages } from './list-pages.ts';
import { serve } from './serve.ts';
import { VirtioPort } from './virtio-port.ts';

async function servePort(path: string): Promise<never> {
  for (;;) {
    const port = await VirtioPort.open(path, () => {
      console.error(`poolshift agent: waiting for ${path}`);
    });
    console.error(`poolshift agent: serving ${path}`);
    await serve(port);
    await port.close();
  }
}

async function printSummary(): Promise<void> {
  const cpuStart = process.cpuUsage();
  const list = await listPages(await findPrograms());
  const startMs = performance.now();
  const listBytes = encodePageList(list).length;
  const encodeMs = performance.now() - startMs;
  const cpu = process.cpuUsage(cpuStart);
  const summary = {
    ...list.server,
    sources: list.sources.length,
    pages: list.pageCount,
    runs: list.runs.count.length,
    listBytes,
    timings: { ...list.timings, encodeMs },
    cpuMs: (cpu.user + cpu.system) / 1000,
    residentBytes: process.memoryUsage().rss,
  };
  console.log(JSON.stringify(summary, undefined, 2));
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: `/dev/virtio-ports/${agentPortName}` },
      summary: { type: 'boolean', default: false },
    },
  });
  if (values.summary) await printSummary();
  else await servePort(values.port);
}

main().catch((error: unknown) => {
  console.error(`poolshift agent: ${error instanceof GuestError ? error.message : String(error)}`);
  process.exitCode = 1;
});
