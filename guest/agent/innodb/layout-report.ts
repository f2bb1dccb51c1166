/** What the agent finds out of each server's memory, in words, for somebody whose server is of a version that nobody here has. */
import { Deadline, listMs } from '../deadline.ts';
import { calibrateServer } from './finder.ts';
import { knownLayoutOf } from './layouts.ts';
import { findServers } from './server-process.ts';

/** Lines: counts, distances and bits alone, nothing of the tables. @throws GuestError 'not-permitted' */
export async function reportLayouts(pid?: number): Promise<string[]> {
  const found = await findServers();
  const servers = found.servers.filter((server) => pid === undefined || server.pid === pid);
  if (servers.length === 0) return ['No mariadbd or mysqld runs here that this user may look at.'];
  const lines: string[] = [];
  for (const server of servers) {
    const startMs = performance.now();
    const { layout, shape, missing, evidence, pageSizeBytes } = await calibrateServer(
      server,
      new Deadline(listMs),
    );
    const isKnown = knownLayoutOf(server.product, server.version) !== undefined;
    lines.push(
      `${server.product} ${server.version}, process ${server.pid}, build id ${server.build.id ?? 'unknown'}`,
      `  a version whose layout is ${isKnown ? 'known' : 'not known'}; pages of ${pageSizeBytes} bytes`,
      layout === undefined ? `  no layout found: ${missing}` : `  layout ${JSON.stringify(layout)}`,
      ...(layout === undefined && shape !== undefined ? [`  descriptors ${JSON.stringify(shape)}`] : []),
      `  evidence ${JSON.stringify(evidence)}`,
      `  in ${Math.round(performance.now() - startMs)} ms`,
    );
    if (layout === undefined)
      lines.push(
        '  Try again while the server is written to: the layout is learned from pages that are in the pool, some of them dirty.',
      );
  }
  lines.push(
    'To have a version known: open an issue with these lines and the output of SELECT VERSION(). They hold nothing of your tables.',
  );
  return lines;
}
