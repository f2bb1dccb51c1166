import test from 'ava';
import { ProgressWatch } from './progress.ts';
import { jsonReporter, textReporter } from './report.ts';
import type { Summary } from './summary.ts';

const at = (ms: number) => new ProgressWatch(0).at(ms);

const summary: Summary = {
  vm: 'vm\u001b[2J1',
  source: 'src',
  destination: 'dst',
  method: 'plain',
  outcome: 'failed',
  totalMs: 1,
  downtimeMs: undefined,
  migrationLinkBytes: undefined,
  storageLinkBytes: undefined,
  pagesListed: undefined,
  pagesVerified: undefined,
  pagesSent: {},
  reasons: ['why'],
};

test('a terminal has one line of progress, which gives way to others', (t) => {
  let text = '';
  const reporter = textReporter((more) => (text += more), { columns: 200 });
  reporter.progress(at(100));
  reporter.progress(at(200));
  reporter.note('a note');
  t.is(text.split('\n').length, 2);
  t.is(text.split('\r').length, 4);
  t.true(text.endsWith('\r\u001b[Ka note\n'));
});

test('progress never goes on in a second line, which could not be overwritten', (t) => {
  const lengths = [40, 80, 0].map((columns) => {
    let text = '';
    textReporter((more) => (text += more), { columns }).progress(at(100));
    return text.replace('\r', '').replace('\u001b[K', '').length;
  });
  t.is(lengths[0], 39);
  t.true((lengths[1] ?? 0) <= 79);
  t.true((lengths[2] ?? 0) > 39, 'a terminal that does not know its width gets all');
});

test('elsewhere progress is a line now and then', (t) => {
  let text = '';
  const reporter = textReporter((more) => (text += more), undefined);
  for (let ms = 0; ms <= 11_000; ms += 500) reporter.progress(at(ms));
  t.is(text.trim().split('\n').length, 3);
  t.false(text.includes('\r'));
});

test('what names and reasons hold moves no cursor, in text and in JSON', (t) => {
  for (const reporterOf of [
    (write: (text: string) => void) => textReporter(write, undefined),
    jsonReporter,
  ]) {
    let text = '';
    const reporter = reporterOf((more) => (text += more));
    reporter.end('id', summary);
    t.false(text.includes('\u001b'));
    t.regex(text, /u001b\[2J1/);
  }
});

test('each JSON line is an event with its time', (t) => {
  const lines: string[] = [];
  const reporter = jsonReporter((line) => lines.push(line));
  reporter.findings([{ check: 'agent', level: 'ok', says: 'answers' }]);
  reporter.note('a note');
  reporter.progress(at(100));
  reporter.end('vm1-0a', summary);
  const events = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  t.deepEqual(
    events.map(({ event }) => event),
    ['check', 'note', 'progress', 'end'],
  );
  t.true(events.every(({ time }) => !Number.isNaN(Date.parse(String(time)))));
  t.like(events[3], { id: 'vm1-0a', outcome: 'failed', reasons: ['why'] });
});
