import test from 'ava';
import type { EngineCounters, EngineEvent } from '../core/engine-event.ts';
import { jsonSink, textSink } from './report.ts';

const counters: EngineCounters = {
  pages_listed: 0,
  pages_planned: 0,
  pages_left_out: 0,
  pages_passed_on: 0,
  pages_restored: 2048,
  pages_mismatched: 0,
  pages_unreadable: 0,
  pages_cancelled: 0,
  pages_sent_after_all: 0,
  pages_pending: 7,
  pages_placed: 0,
  pages_streamed: 0,
  qemu_bytes: 0,
  migration_link_bytes: 3 * 2 ** 20,
  migration_link_back_bytes: 0,
  storage_link_bytes: 8 * 2 ** 20,
  compression_ratio: 1,
  compression_ratio_total: 1,
  restore_rate_bytes_per_second: 2 ** 20,
  processors_carry_bytes_per_second: 0,
  cpu_ms: 0,
  rss_bytes: 0,
};
const progress: EngineEvent = { event: 'progress', ...counters };
const held: EngineEvent = { event: 'gate-held', by: 'agreement-withheld' };

function shown(isTerminal: boolean, events: readonly EngineEvent[], columns = 200): string[] {
  const written: string[] = [];
  const sink = textSink((text) => written.push(text), isTerminal ? { columns } : undefined);
  for (const event of events) sink(event);
  return written.map((text) => text.replace(/\d+\.\d s {2}/, 'T '));
}

test('on a terminal progress overwrites itself, and other lines take its place', (t) => {
  const written = shown(true, [progress, progress, held, held]);
  const figures =
    '3.0 MiB on the migration link, 8.0 MiB from storage (1.0 MiB/s), 2048 pages restored, 7 pending';
  const line = `   T ${figures}`;
  t.deepEqual(written, [
    `\r${line}\u001b[K`,
    `\r${line}\u001b[K`,
    '\r\u001b[K   T holding the switchover (ack withheld)\n',
    '   T holding the switchover (ack withheld)\n',
  ]);
});

test('progress keeps to one line of a narrow terminal', (t) => {
  const [line = ''] = shown(true, [progress], 40);
  t.true(line.replace('\r', '').replace('\u001b[K', '').length <= 39);
});

test('elsewhere there are plain lines, and not one for each progress', (t) => {
  const written = shown(false, [held, progress, progress]);
  t.is(written[0], '   T holding the switchover (ack withheld)\n');
  t.true(written.length <= 2);
  t.false(written.some((text) => /[\r\u001b]/.test(text)));
});

test('JSON lines have a time and the event as it is', (t) => {
  const lines: string[] = [];
  jsonSink((line) => lines.push(line))(held);
  const { t_ms: tMs, time, ...event } = JSON.parse(lines.join('')) as Record<string, unknown>;
  t.deepEqual(event, held);
  t.is(typeof tMs, 'number');
  t.false(Number.isNaN(Date.parse(String(time))));
  t.true(lines[0]?.endsWith('\n'));
});

test('what a guest or a peer says does not reach a terminal or a log as controls', (t) => {
  const hostile = '\u001b]0;owned\u0007\u001b[2J\u009b31m\r\nVM migrated\u202etxt\u2028\u007f';
  const event: EngineEvent = { event: 'no-list', code: 'refused', reason: hostile };
  const text = shown(true, [event]).join('');

  t.notRegex(text.slice(0, -1), /[\u0000-\u001f\u007f-\u009f\u2028-\u202e]/);
  t.true(text.includes('\\u001b[2J') && text.includes('VM migrated'));
  const lines: string[] = [];
  jsonSink((line) => lines.push(line))(event);

  t.notRegex(lines.join('').slice(0, -1), /[\u0000-\u001f\u007f-\u009f\u2028-\u202e]/);
  t.is((JSON.parse(lines.join('')) as { reason: string }).reason, hostile);
});

test('a list says how many pages come last because they are cold, and of which program it is not known', (t) => {
  const times = { list_total_ms: 84, list_find_ms: 0, list_translate_ms: 0, list_map_ms: 0 };
  const listed = (more: object): EngineEvent => ({
    ...{ event: 'listed', pages_listed: 4000, list_bytes: 1, server: 'mariadb 10.11' },
    ...{ ...times, list_encode_ms: 0, list_send_ms: 0, list_clean_ms: 0 },
    ...more,
  });
  const first = '   T mariadb 10.11 lists 4000 pages in 84 ms';
  t.deepEqual(
    shown(false, [
      listed({}),
      listed({ pages_cold: 1500, heat_unknown: '' }),
      listed({ pages_cold: 0, heat_unknown: 'mariadb 10.11 (pid 7): why' }),
    ]),
    [
      `${first}\n`,
      `${first}, 1500 cold ones last\n`,
      `${first}; which are cold is not known of mariadb 10.11 (pid 7): why\n`,
    ],
  );
});
