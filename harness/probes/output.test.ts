import { Writable } from 'node:stream';
import test from 'ava';
import { ReportOutput } from './output.ts';
import type { ProbeReport } from './report.ts';

/** A reader that takes nothing until it is released. */
class SlowReader extends Writable {
  text = '';
  #release: (() => void) | undefined;
  #released = false;

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    if (this.#released) done();
    else this.#release = done;
  }

  release(): void {
    this.#released = true;
    this.#release?.();
  }
}

const line = (at: number): ProbeReport => ({ report: 'ledger', at, acknowledged: at, unknown: 0 });

test('a reader that does not read costs a bounded backlog, and is told what it missed', async (t) => {
  const reader = new SlowReader();
  const output = new ReportOutput(reader, 1000);
  for (let at = 0; at < 10_000; at += 1) output.emit(line(at));
  t.true(reader.writableLength < 1200, `${reader.writableLength} bytes are queued`);
  reader.release();
  await output.end();

  const reports = reader.text
    .trimEnd()
    .split('\n')
    .map((text) => JSON.parse(text) as ProbeReport);
  const kept = reports.filter((report) => report.report === 'ledger');
  const dropped = reports.filter((report) => report.report === 'dropped');
  t.deepEqual(
    kept.map((report) => report.at),
    [...kept.keys()],
    'the first ones, whole and in order',
  );
  t.is(dropped.length, 1);
  t.is(kept.length + (dropped[0]?.reports ?? 0), 10_000);
});
