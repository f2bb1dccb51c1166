/** What `poolshift status` says of what a host has kept. */
import test from 'ava';
import { parseStatus, statusLines } from './status.ts';

const record = (id: string, startedAt: string): string =>
  JSON.stringify({
    id,
    vm: 'vm1',
    role: 'source',
    source: 'src',
    destination: 'dst',
    method: 'balance',
    startedAt,
  });

test('each migration is a line, the newest first', (t) => {
  const known = parseStatus(
    [
      `${record('a', '2026-01-01T00:00:00Z')}\tfalse\ttrue\t{"outcome":"migrated","endedAt":"2026-01-01T00:01:00Z"}\t{"event":"done"}`,
      `${record('b', '2026-01-02T00:00:00Z')}\ttrue\tfalse\t\t{"event":"gate-held"}`,
      `${record('c', '2026-01-03T00:00:00Z')}\tfalse\tfalse\t\t`,
      'not one\tfalse\tfalse\t\t',
      '',
    ].join('\n'),
  );
  t.deepEqual(
    known.map(({ id }) => id),
    ['c', 'b', 'a'],
  );
  const lines = statusLines(known).map((line) => line.split('here the source: ')[1]);
  t.deepEqual(lines, [
    "nobody has told how it ended, its engine's last word: none",
    "goes on, its engine's last word: gate-held",
    'migrated',
  ]);
});

test('a host without any says so', (t) => {
  t.deepEqual(statusLines(parseStatus('')), ['this host knows no migrations']);
});
