import test from 'ava';
import { EngineRecord, journalLine, metricsText, type Summary, summaryTable } from './summary.ts';

const record = (): EngineRecord => {
  const events = new EngineRecord();
  events.take('source', { event: 'warning', fields: { reason: 'a readable file' } });
  events.take('destination', { event: 'not-placing', fields: { reason: 'no mapping' } });
  events.take('source', { event: 'not-placing', fields: { reason: 'no mapping' } });
  events.take('source', {
    event: 'accepted',
    fields: {
      pages_already_sent: 7,
      refused_unknown_source: 0,
      refused_beyond_ram: 1,
      refused_duplicate_frame: 2,
    },
  });
  events.take('source', {
    event: 'progress',
    fields: { migration_link_bytes: 1, pages_listed: 1, pages_sent_after_all: 1 },
  });
  events.take('source', {
    event: 'done',
    fields: { migration_link_bytes: 5e6, pages_listed: 1000, pages_sent_after_all: 30, pages_restored: 900 },
  });
  events.take('destination', {
    event: 'done',
    fields: {
      storage_link_bytes: 4e6,
      pages_restored: 950,
      pages_mismatched: 4,
      pages_unreadable: 1,
      pages_cancelled: 20,
    },
  });
  return events;
};

test('a guest that invents storage fills no journal', (t) => {
  const events = new EngineRecord();
  for (let one = 0; one < 5000; one++)
    events.take('destination', {
      event: 'storage-unusable',
      fields: { reason: `${one} ${'x'.repeat(300)}` },
    });
  events.take('destination', { event: 'warning', fields: { reason: 'y'.repeat(1e6) } });
  const { reasons } = events.figures();
  t.is(reasons.length, 21);
  t.is(reasons.at(-1), 'the engines said 4981 more, which stand in their events');
  t.true(JSON.stringify(reasons).length < 64 * 1024);
  const long = new EngineRecord();
  long.take('source', { event: 'warning', fields: { reason: 'y'.repeat(1e6) } });
  t.true((long.figures().reasons[0]?.length ?? 0) < 1000);
});

test('early resume places no page, and nobody is told so', (t) => {
  const events = new EngineRecord(true);
  events.take('destination', { event: 'not-placing', fields: { reason: 'QEMU may start post-copy' } });
  events.take('source', { event: 'warning', fields: { reason: 'a readable file' } });
  t.deepEqual(events.figures().reasons, ['source engine: a readable file']);
});

const summary: Summary = {
  vm: 'vm1',
  source: 'src',
  destination: 'dst',
  method: 'balance',
  outcome: 'migrated',
  totalMs: 12_345,
  downtimeMs: 67,
  ...record().figures(),
};

test('the table says where each page came from, and why', (t) => {
  t.deepEqual(summaryTable(summary), [
    'result         migrated',
    'way            vm1: src to dst, method balance',
    'total          12.3 s',
    'downtime       67 ms',
    'migration link 5.0 MB',
    'storage link   4.0 MB',
    'restored       950 pages, each verified by content, of 1000 listed',
    'sent           7 pages: QEMU had sent them before the list came',
    'sent           3 pages: refused: beyond memory or storage, or named twice',
    'sent           20 pages: the guest wrote to them meanwhile',
    'sent           4 pages: storage has other content',
    'sent           1 pages: storage could not be read',
    'sent           25 pages: the migration link was free',
    'said           source engine: a readable file',
    'said           destination engine: no mapping',
  ]);
});

test('a migration without engines has no figures of theirs', (t) => {
  const plain: Summary = {
    ...summary,
    method: 'plain',
    downtimeMs: undefined,
    outcome: 'in-doubt',
    ...new EngineRecord().figures(),
  };
  t.deepEqual(summaryTable(plain), [
    'result         IN DOUBT: it is not known where the VM is',
    'way            vm1: src to dst, method plain',
    'total          12.3 s',
    'downtime       not known',
  ]);
  t.notRegex(metricsText(plain, 0), /link_bytes|downtime/);
});

test('memory that was compared', (t) => {
  const row = (ram: NonNullable<Summary['ram']>) =>
    summaryTable({ ...summary, ram }).find((line) => line.startsWith('memory'));
  t.is(row('equal'), 'memory         all of it is equal on both hosts');
  t.regex(row('equal-suspended') ?? '', /equal on both hosts, .* suspended .*virsh resume/);
  t.regex(row('differs') ?? '', /DIFFERS.*suspended at the destination/);
  t.regex(row('not-compared') ?? '', /could not be compared/);
});

test('the journal has one line', (t) => {
  t.is(
    journalLine('vm1-0a', summary),
    'migration vm1-0a of vm1 from src to dst by balance: migrated (total 12.3 s, downtime 67 ms)',
  );
});

test('metrics are text that a monitor reads, whatever the names', (t) => {
  const text = metricsText({ ...summary, vm: 'a "b" \\ c' }, 1_700_000_000_500);
  t.true(
    text.includes(
      'poolshift_migration_downtime_seconds{vm="a \\"b\\" \\\\ c",source="src",destination="dst",method="balance",outcome="migrated"} 0.067\n',
    ),
  );
  t.true(text.endsWith('} 1000\n# EOF\n'));
  for (const line of text.trim().split('\n'))
    t.regex(line, /^(# (HELP|TYPE|EOF)|poolshift_migration_[a-z_]+\{.*\} [\d.]+$)/);
});

test('the advice of whoever is in doubt comes first', (t) => {
  const events = new EngineRecord();
  events.take('destination', { event: 'in-doubt', fields: { reason: 'silence', advice: 'look here' } });
  t.is(events.advice, 'look here');
  events.take('source', { event: 'in-doubt', fields: { reason: 'silence', advice: 'look there' } });
  t.is(events.advice, 'look there');
});
