/**
 * `node report/cli/live.ts NAME PORT [SET]`: the live view's process. `--live` starts it: it prints its address, takes the
 * folder of a run that begins, a line each, on its standard input, and ends with that input. A matrix gives its set's folder.
 */
import { createInterface } from 'node:readline';
import { LiveSet } from '../live/live-set.ts';
import { serveLive } from '../live/live-server.ts';

const [name = '', port = '0', setFolder] = process.argv.slice(2);
// The command that started this one takes its lab down first, and the view shows it.
for (const signal of ['SIGINT', 'SIGHUP', 'SIGTERM'] as const) process.on(signal, () => undefined);

const live = new LiveSet(name, setFolder);
try {
  const server = await serveLive(live, Number(port));
  console.log(server.url);
  for await (const line of createInterface({ input: process.stdin })) if (line !== '') live.add(line);
  await server.close();
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
