/** Starts an engine on this machine as `poolshift migrate` does without systemd, ends it, and prints what came of each step as JSON lines. */
import path from 'node:path';
import { OperatedHost, quote, SshConnections } from './host.ts';
import { endScript, keyFileOf, LaunchedEngine, prepareFolder, removeKeyScript } from './launch.ts';
import { knownMigrations } from './status.ts';

const id = 'vm1-0a';
const connections = SshConnections.open();
const host = new OperatedHost(undefined, connections);
const say = (step: string, what: unknown): void => {
  console.log(JSON.stringify({ step, what }));
};

await prepareFolder(
  host,
  { id, vm: 'vm1', role: 'destination', source: 'a', destination: 'b', method: 'restore', startedAt: 'now' },
  'ab'.repeat(32),
);
const listening = Promise.withResolvers<undefined>();
const words = [
  ...[
    process.execPath,
    path.join(import.meta.dirname, '../engine/cli/main.ts'),
    'destination',
    '--json',
    '--vm',
    id,
  ],
  ...['--listen', '127.0.0.1:0', '--incoming', 'unix:/nowhere/x', '--psk-file', keyFileOf(id)],
];
const engine = await LaunchedEngine.start(host, {
  id,
  vm: 'vm1',
  role: 'destination',
  command: words.map(quote).join(' '),
  onEvent: ({ event }) => {
    say('event', event);
    if (event === 'listening') listening.resolve(undefined);
  },
});
await listening.promise;
say('keys', await host.run(`stat -c '%a %U' ${keyFileOf(id)}`));
await host.run(removeKeyScript(id));
const [running] = await knownMigrations(host);
say('status', [running?.engineRuns, running?.lastEvent, running?.end?.outcome]);
await engine.stop();
await engine.ended;
await host.run(endScript(id, JSON.stringify({ outcome: 'cancelled', endedAt: 'now' }), 'a line'));
const [over] = await knownMigrations(host);
say('status', [over?.engineRuns, over?.lastEvent, over?.end?.outcome]);
await connections.close([]);
