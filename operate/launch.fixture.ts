/** Starts an engine on this machine as `poolshift migrate` does without systemd, ends it, and prints what came of each step as JSON lines. */
import path from 'node:path';
import { endAbandoned } from './abandoned.ts';
import { OperatedHost, SshConnections } from './host.ts';
import { quote } from '../foundation/shell.ts';
import { endScript, folderOf, keyFileOf, keyPlace, LaunchedEngine, prepareFolder } from './launch.ts';
import { thisStarter } from './starter.ts';
import { knownMigrations } from './status.ts';

const id = 'vm1-0a';
const starter = thisStarter();
const connections = SshConnections.open();
const host = new OperatedHost(undefined, connections);
const say = (step: string, what: unknown): void => {
  console.log(JSON.stringify({ step, what }));
};

await prepareFolder(
  host,
  {
    id,
    vm: 'vm1',
    role: 'destination',
    source: 'a',
    destination: 'b',
    method: 'restore',
    startedAt: 'now',
    starter,
  },
  'ab'.repeat(32),
);
say('key', await host.run(`stat -c '%a %U' ${keyFileOf(id, 'destination')}`));
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
  ...['--listen', '127.0.0.1:0', '--incoming', 'unix:/nowhere/x', '--psk-file', keyPlace],
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
  onHeard: () => undefined,
});
await listening.promise;
say('key', await host.run(`[ -e ${keyFileOf(id, 'destination')} ] && echo there || echo gone`));
const [running] = await knownMigrations(host);
say('status', [running?.engineRuns, running?.lastEvent, running?.end?.outcome]);
await engine.stop();
await engine.ended;
await host.run(endScript(id, JSON.stringify({ outcome: 'cancelled', endedAt: 'now' }), 'a line'));
const [over] = await knownMigrations(host);
say('status', [over?.engineRuns, over?.lastEvent, over?.end?.outcome]);

// Of a command that is there, and of one that was killed.
for (const [vm, by] of [
  ['vm3', starter],
  ['vm4', { ...starter, startTime: '1' }],
  ['vm5', { ...starter, startTime: '1', within: 'elsewhere' }],
] as const) {
  const of = `${vm}-0a`;
  const record = {
    id: of,
    vm,
    role: 'destination',
    source: 'a',
    destination: 'b',
    method: 'restore',
  } as const;
  await prepareFolder(host, { ...record, startedAt: 'now', starter: by }, undefined);
  const listens = Promise.withResolvers<undefined>();
  const waiting = await LaunchedEngine.start(host, {
    ...{ id: of, vm, role: 'destination' },
    command: [...words.slice(0, 5), of, ...words.slice(6, 10), '--insecure-plaintext'].map(quote).join(' '),
    onEvent: ({ event }) => {
      if (event === 'listening') listens.resolve(undefined);
    },
    onHeard: () => undefined,
  });
  await listens.promise;
  await endAbandoned([host], vm, { note: (text) => text });
  const left = (await knownMigrations(host)).find((one) => one.vm === vm);
  say('abandoned', [vm, left?.engineRuns, left?.lastEvent]);
  await waiting.stop();
  await waiting.ended;
}

// What a slow host starts only now.
const late = await LaunchedEngine.start(host, {
  ...{ id, vm: 'vm1', role: 'destination', command: `printf '{"event":"too-late"}\\n'` },
  onEvent: ({ event }) => {
    if (event === 'too-late') say('event', event);
  },
  onHeard: () => undefined,
});
await late.ended;

// On a full disk.
await host.run(`cd ${folderOf(id)}
rm -f end destination.pid
mkdir full
mount -t tmpfs -o size=4k tmpfs full
head -c 4096 /dev/zero > full/fill
ln -s full/pid destination.pid`);
await LaunchedEngine.start(host, {
  ...{ id, vm: 'vm1', role: 'destination', command: `touch ${folderOf(id)}/runs` },
  onEvent: () => undefined,
  onHeard: () => undefined,
}).catch((error: unknown) => {
  say('full', (error as Error).message.replace(/^on .*: /, ''));
});
say('runs', await host.run(`cd ${folderOf(id)} && umount full && ls runs 2> /dev/null || true`));

// Ended ones are forgotten, but those that somebody has still to look after.
const named = (number: number): string => `old-${String(number).padStart(2, '0')}`;
for (let number = 0; number < 30; number++) {
  const record = { id: named(number), vm: 'vm2', role: 'source', source: 'a', destination: 'b' } as const;
  await prepareFolder(host, { ...record, method: 'resume', startedAt: 'now', starter }, undefined);
  const outcome = number === 0 ? 'incomplete' : number === 1 ? 'in-doubt' : 'migrated';
  if (number !== 2)
    await host.run(endScript(record.id, JSON.stringify({ outcome, endedAt: 'now' }), 'a line'));
  await host.run(`touch -d @${1000 + number} ${folderOf(record.id)}`);
}
const kept = (await knownMigrations(host)).map((one) => one.id).filter((one) => one.startsWith('old-'));
say(
  'kept',
  [0, 1, 2, 3, 29].map((number) => kept.includes(named(number))),
);
await connections.close([]);
