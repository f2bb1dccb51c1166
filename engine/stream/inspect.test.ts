import test from 'ava';
import { formatSummary, StreamInspector, type StreamSummary } from './inspect.ts';
import { fixtureNames, readFixture } from './testing/fixtures.ts';
import { loadStream } from './testing/load-stream.ts';
import { smallStream } from './testing/small-stream.ts';

function inspect(stream: Buffer, step = stream.length): StreamSummary {
  const inspector = new StreamInspector();
  for (let at = 0; at < stream.length; at += step) inspector.push(stream.subarray(at, at + step));
  return inspector.finish();
}

for (const fixture of fixtureNames.filter((name) =>
  /-(plain|switchover-ack|virtio-two-blocks|microvm|xbzrle)$/.test(name),
)) {
  test(`${fixture}: counts what a loader loads`, (t) => {
    const stream = readFixture(fixture);
    const summary = inspect(stream);
    const loaded = loadStream(stream);
    t.deepEqual(summary.end, { is: 'complete' });
    t.is(
      summary.blocks.reduce((sum, block) => sum + block.pageRecords, 0),
      loaded.pageRecords,
    );
    t.is(
      summary.blocks.reduce((sum, block) => sum + block.deltaRecords, 0),
      loaded.deltaRecords,
    );
    t.is(
      summary.blocks.reduce((sum, block) => sum + block.distinctPages, 0),
      loaded.memory.size,
    );
    t.is(summary.deviceStateBytes, loaded.rest.length);
    t.is(summary.ramBytes + summary.deviceStateBytes, stream.length);
    t.deepEqual(inspect(stream, 8191), summary);
  });
}

for (const fixture of fixtureNames.filter((name) => name.endsWith('-moved'))) {
  test(`${fixture}: tells what came when the target could run`, (t) => {
    const stream = readFixture(fixture);
    const summary = inspect(stream);
    t.deepEqual(summary.end, { is: 'complete' });
    t.is(summary.deviceStateBytes, loadStream(stream).package?.length ?? -1);
    t.true((summary.moved?.records ?? 0) > 0);
    // Whatever was thrown away comes again.
    t.is(summary.moved?.records, summary.moved?.discardedPages);
    t.deepEqual(inspect(stream, 8191), summary);
    t.regex(formatSummary(summary), /post-copy +\d+ pages thrown away/);
  });
}

test('tells versions, blocks and passes of a capture', (t) => {
  const { configuration, minQemuVersion, blocks, passes, commands } = inspect(
    readFixture('qemu-7.2-virtio-two-blocks'),
  );
  t.is(configuration?.machine, 'pc-q35-7.2');
  t.is(minQemuVersion, '7.2');
  t.deepEqual(
    blocks.slice(0, 2).map(({ name, pageCount }) => [name, pageCount]),
    [
      ['ram0', 4096],
      ['ram1', 2048],
    ],
  );
  t.true(passes >= 2);
  t.deepEqual(commands, ['openReturnPath', 'ping']);
  t.deepEqual(inspect(readFixture('qemu-10.0-plain')).commands, ['switchoverStart']);
});

test('says why a stream cannot be filtered, or where it ends', (t) => {
  const shared = inspect(readFixture('qemu-10.0-ignore-shared'));
  t.like(shared.end, { is: 'unfilterable', reason: 'ignore-shared' });
  t.regex(formatSummary(shared), /not filterable \(ignore-shared\)/);
  const cut = inspect(smallStream.subarray(0, 5000));
  t.is(cut.end.is, 'truncated');
  t.is(cut.blocks[0]?.pageRecords, 1);
  const nothing = inspect(Buffer.from('no stream at all'));
  t.like(nothing.end, { is: 'unfilterable', reason: 'not-a-stream' });
  t.regex(formatSummary(nothing), /machine +unknown/);
});
